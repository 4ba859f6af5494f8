// Keeps the votes over time right, and shows the numbers where somebody points.

// They are read again no more often than this, and not by all browsers at once.
const TIMELINE_MS = 10000;

let drawing;
function drawSoon() {
  if (!element("timeline") || drawing !== undefined) return;
  drawing = setTimeout(draw, spread(TIMELINE_MS));
}

async function draw() {
  drawing = undefined;
  const answer = await fetch("timeline").catch(() => undefined);
  if (!answer || answer.status >= 500) return drawSoon();
  if (!answer.ok) return;
  const text = await answer.text().catch(() => "");
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("timeline");
  if (!fresh) return drawSoon();
  const old = element("timeline");
  const table = old.querySelector("details");
  const wasOpen = table && table.open;
  const hadFocus = document.activeElement && document.activeElement.id === "moment";
  const wasPointed = pointed;
  showDates(fresh);
  old.replaceWith(fresh);
  if (wasOpen) fresh.querySelector("details").open = true;
  prepareTimeline();
  if (wasPointed !== undefined) point(wasPointed);
  if (hadFocus) element("moment").focus();
}

// The lines are drawn in units of their own.
function drawingArea() {
  return document.querySelector("#timeline svg").viewBox.baseVal;
}

// The numbers come from the table, which is there for those who do not see the lines.
let pointed;
function point(index) {
  const rows = document.querySelectorAll("#timeline tbody tr");
  const row = rows[index];
  if (!row) return;
  pointed = index;
  const heads = document.querySelectorAll("#timeline thead th");
  const cells = Array.from(row.cells, (cell) => cell.textContent);
  const numbers = cells.slice(1).map((votes, option) => `${heads[option + 1].textContent} ${votes}`);
  const text = `${cells[0]}: ${numbers.join(", ")}`;
  write(element("readout"), text);
  const slider = element("moment");
  slider.value = index;
  slider.setAttribute("aria-valuetext", text);
  const { height } = drawingArea();
  document.querySelector("#timeline .cursor").setAttribute("d", `M${row.dataset.x} 0V${height}`);
}

function prepareTimeline() {
  pointed = undefined;
  const slider = element("moment");
  if (!slider) return;
  slider.hidden = false;
  for (const event of ["input", "focus"]) slider.addEventListener(event, () => point(Number(slider.value)));
  write(element("readout"), element("readout").dataset.hint);
  const picture = document.querySelector("#timeline svg");
  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * drawingArea().width;
    const rows = Array.from(document.querySelectorAll("#timeline tbody tr"));
    const index = rows.findIndex((row) => x <= Number(row.dataset.x));
    point(index < 0 ? rows.length - 1 : index);
  });
}
