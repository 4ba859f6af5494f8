//! Test of the options' colours in the style sheet: their distance from each other and their contrast with the background.

use std::collections::BTreeMap;

const RESULT: &str = include_str!("../assets/result.css");
const BASE: &str = include_str!("../../shared/web/assets/base.css");

const OPTIONS: usize = 20;
/// Minimum CIEDE2000 difference. A difference of 1 is just noticeable side by side; the lines of a chart are not side by side.
const MIN_DISTANCE: f64 = 17.0;
/// Minimum contrast of graphical objects, by WCAG 2.2, 1.4.11.
const MIN_CONTRAST: f64 = 3.0;

#[derive(Clone, Copy, Debug)]
struct Colour([f64; 3]);

impl Colour {
    fn parse(raw: &str) -> Self {
        let channel = |at: usize| u8::from_str_radix(&raw[at..at + 2], 16).expect("#rrggbb");
        assert_eq!((raw.len(), &raw[..1]), (7, "#"), "{raw}");
        Self([1, 3, 5].map(|at| f64::from(channel(at)) / 255.0))
    }

    fn linear(self) -> [f64; 3] {
        self.0.map(|channel| {
            if channel <= 0.04045 {
                channel / 12.92
            } else {
                ((channel + 0.055) / 1.055).powf(2.4)
            }
        })
    }

    /// Relative luminance. Source: <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>.
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.linear();
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance() + 0.05, other.luminance() + 0.05);
        one.max(two) / one.min(two)
    }

    /// CIELAB coordinates, for the illuminant D65.
    fn lab(self) -> [f64; 3] {
        let [red, green, blue] = self.linear();
        let [x, y, z] = [
            (0.412_456_4 * red + 0.357_576_1 * green + 0.180_437_5 * blue) / 0.950_47,
            0.212_672_9 * red + 0.715_152_2 * green + 0.072_175 * blue,
            (0.019_333_9 * red + 0.119_192 * green + 0.950_304_1 * blue) / 1.088_83,
        ]
        .map(|t| {
            if t > 216.0 / 24389.0 {
                t.cbrt()
            } else {
                (24389.0 / 27.0 * t + 16.0) / 116.0
            }
        });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }
}

/// The perceived difference of two CIELAB colours. Source: Sharma, Wu, Dalal, The CIEDE2000 Color-Difference Formula, 2005.
#[expect(
    clippy::many_single_char_names,
    reason = "the names are those of the paper"
)]
fn ciede2000([l1, a1, b1]: [f64; 3], [l2, a2, b2]: [f64; 3]) -> f64 {
    let weight = |chroma: f64| (chroma.powi(7) / (chroma.powi(7) + 25_f64.powi(7))).sqrt();
    let sin = |degrees: f64| degrees.to_radians().sin();
    let cos = |degrees: f64| degrees.to_radians().cos();
    let g = 0.5 * (1.0 - weight(f64::midpoint(a1.hypot(b1), a2.hypot(b2))));
    let (a1, a2) = (a1 * (1.0 + g), a2 * (1.0 + g));
    let (c1, c2) = (a1.hypot(b1), a2.hypot(b2));
    let hue = |a: f64, b: f64| b.atan2(a).to_degrees().rem_euclid(360.0);
    let (h1, h2) = (hue(a1, b1), hue(a2, b2));
    let is_grey = c1 * c2 == 0.0;
    let difference = (h2 - h1 + 180.0).rem_euclid(360.0) - 180.0;
    let difference = if is_grey { 0.0 } else { difference };
    let (dl, dc) = (l2 - l1, c2 - c1);
    let dh = 2.0 * (c1 * c2).sqrt() * sin(difference / 2.0);
    let (l, c) = (f64::midpoint(l1, l2), f64::midpoint(c1, c2));
    let h = if is_grey {
        h1 + h2
    } else {
        (h1 + difference / 2.0).rem_euclid(360.0)
    };
    let t = 1.0 - 0.17 * cos(h - 30.0) + 0.24 * cos(2.0 * h) + 0.32 * cos(3.0 * h + 6.0)
        - 0.2 * cos(4.0 * h - 63.0);
    let rotation = -sin(60.0 * (-((h - 275.0) / 25.0).powi(2)).exp()) * 2.0 * weight(c);
    let off_grey = (l - 50.0).powi(2);
    let (dl, dc, dh) = (
        dl / (1.0 + 0.015 * off_grey / (20.0 + off_grey).sqrt()),
        dc / (1.0 + 0.045 * c),
        dh / (1.0 + 0.015 * c * t),
    );
    (dl * dl + dc * dc + dh * dh + rotation * dc * dh).sqrt()
}

/// The light and the dark part of a style sheet. The dark part starts at the only media query for it.
fn schemes(css: &str) -> [&str; 2] {
    let (light, dark) = css
        .split_once("@media (prefers-color-scheme: dark)")
        .expect("there is a dark scheme");
    [light, dark]
}

fn background(css: &str) -> Colour {
    let background = css
        .split("--ground: ")
        .nth(1)
        .expect("there is a background");
    Colour::parse(&background[..7])
}

fn options(css: &str) -> BTreeMap<usize, Colour> {
    css.split(".option-")
        .skip(1)
        .filter_map(|rule| {
            let (number, colour) = rule.split_once(" { --option: ")?;
            Some((number.parse().ok()?, Colour::parse(&colour[..7])))
        })
        .collect()
}

#[test]
fn the_formula_gives_the_differences_of_the_paper() {
    for (one, two, distance) in [
        ([50.0, 2.6772, -79.7751], [50.0, 0.0, -82.7485], 2.0425),
        ([50.0, 2.5, 0.0], [61.0, -5.0, 29.0], 22.8977),
        ([50.0, 2.49, -0.001], [50.0, -2.49, 0.0011], 7.2195),
        ([2.0776, 0.0795, -1.135], [0.9033, -0.0636, -0.5514], 0.9082),
    ] {
        let found = ciede2000(one, two);
        assert!((found - distance).abs() < 1e-4, "{found} is not {distance}");
    }
}

#[test]
fn the_colours_of_the_options_are_distinguishable() {
    for (scheme, base) in schemes(RESULT).into_iter().zip(schemes(BASE)) {
        let (options, background) = (options(scheme), background(base));
        assert_eq!(options.len(), OPTIONS);
        for (number, colour) in &options {
            let contrast = colour.contrast(background);
            assert!(contrast >= MIN_CONTRAST, "option {number}: {contrast}");
            for (other, second) in options.range(number + 1..) {
                let distance = ciede2000(colour.lab(), second.lab());
                assert!(
                    distance >= MIN_DISTANCE,
                    "options {number} and {other}: {distance}"
                );
            }
        }
    }
}
