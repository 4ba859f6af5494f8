// Updates the votes over time, and shows the numbers at the selected position.

// Average delay of an update, with jitter, so that browsers do not send requests at the same time.
const TIMELINE_MS = 10000;

let drawTimer;
function drawSoon() {
  if (!element("timeline") || drawTimer !== undefined) return;
  drawTimer = setTimeout(draw, jitter(TIMELINE_MS));
}

async function draw() {
  drawTimer = undefined;
  const response = await fetch("timeline").catch(() => undefined);
  if (!response || response.status >= 500) return drawSoon();
  if (!response.ok) return;
  const text = await response.text().catch(() => "");
  const fresh = new DOMParser().parseFromString(text, "text/html").getElementById("timeline");
  if (!fresh) return drawSoon();
  const old = element("timeline");
  const table = old.querySelector("details");
  const wasOpen = table && table.open;
  const hadFocus = document.activeElement && document.activeElement.id === "time-slider";
  const lastIndex = selectedIndex;
  showDates(fresh);
  old.replaceWith(fresh);
  if (wasOpen) fresh.querySelector("details").open = true;
  prepareTimeline();
  if (lastIndex !== undefined) select(lastIndex);
  if (hadFocus) element("time-slider").focus();
}

// The coordinate system of the chart.
function drawingArea() {
  return document.querySelector("#timeline svg").viewBox.baseVal;
}

// Shows the numbers of a row of the table, which is the accessible alternative to the chart.
let selectedIndex;
function select(index) {
  const rows = document.querySelectorAll("#timeline tbody tr");
  const row = rows[index];
  if (!row) return;
  selectedIndex = index;
  const headers = document.querySelectorAll("#timeline thead th");
  const cells = Array.from(row.cells, (cell) => cell.textContent);
  const numbers = cells.slice(1).map((votes, option) => `${headers[option + 1].textContent} ${votes}`);
  const text = `${cells[0]}: ${numbers.join(", ")}`;
  write(element("readout"), text);
  const slider = element("time-slider");
  slider.value = index;
  slider.setAttribute("aria-valuetext", text);
  const { height } = drawingArea();
  document.querySelector("#timeline .cursor").setAttribute("d", `M${row.dataset.x} 0V${height}`);
}

function prepareTimeline() {
  selectedIndex = undefined;
  const slider = element("time-slider");
  if (!slider) return;
  slider.hidden = false;
  for (const event of ["input", "focus"]) slider.addEventListener(event, () => select(Number(slider.value)));
  write(element("readout"), element("readout").dataset.hint);
  const chart = document.querySelector("#timeline svg");
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * drawingArea().width;
    const rows = Array.from(document.querySelectorAll("#timeline tbody tr"));
    const index = rows.findIndex((row) => x <= Number(row.dataset.x));
    select(index < 0 ? rows.length - 1 : index);
  });
}
