// Draws the curves of a job's page, takes in what happens to the job, and completes what is typed as a filter.
"use strict";

const colours = ["#2f7bd0", "#c8612a", "#2e9960", "#a4509b", "#8a7a1d", "#3a9aa6", "#b23b4e", "#6c6ad1"];

// Steps of an axis that counts: there is no half epoch.
const whole = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return [];
  }
}

// All curves of one kind, of each job that has one: by the axis that they share.
function aligned(jobs, points_of) {
  const epochs = new Set();
  const drawn = [];
  for (const job of jobs) {
    const points = points_of(job);
    if (points && points.length > 0) {
      points.forEach(([epoch]) => epochs.add(epoch));
      drawn.push({ name: job.name, values: new Map(points) });
    }
  }
  const axis = [...epochs].sort((one, other) => one - other);
  const columns = drawn.map(({ values }) => axis.map((epoch) => values.get(epoch) ?? null));
  return { names: drawn.map(({ name }) => name), data: [axis, ...columns] };
}

// A place for a chart, with its title. All places are made before a chart is drawn: they share the width.
function figure(place, title, unit) {
  const section = document.createElement("section");
  const head = document.createElement("h3");
  head.textContent = `${title} (${unit})`;
  section.append(head);
  place.append(section);
  return section;
}

function chart(section, curves) {
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--quiet").trim();
  const line = style.getPropertyValue("--line").trim();
  const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
  // From zero what hardly changes looks flat; else the axis says where it begins.
  const isFromZero = document.getElementById("from-zero")?.checked ?? true;
  const fromZero = (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1];
  const scales = { x: { time: false }, y: isFromZero ? { range: fromZero } : {} };
  const series = curves.names.map((name, nth) => ({
    label: name,
    stroke: colours[nth % colours.length],
    width: 2,
    spanGaps: true,
    points: { show: curves.data[0].length < 60, size: 5 },
  }));
  new uPlot({
    width: Math.max(240, section.clientWidth),
    height: 240,
    scales,
    axes: [{ ...axis, label: "epoch", labelSize: 20, incrs: whole }, { ...axis, size: 60 }],
    series: [{ label: "epoch" }, ...series],
    legend: { show: curves.names.length > 1 },
  }, curves.data, section);
}

function draw(jobs) {
  const place = document.getElementById("charts");
  if (!place || typeof uPlot === "undefined") {
    return;
  }
  place.replaceChildren();
  const drawn = [];
  const validation = aligned(jobs, (job) => job.validation);
  if (validation.names.length > 0) {
    drawn.push([figure(place, "Validation", "NDCG@100, by epoch of the job"), validation]);
  }
  const stages = new Set(jobs.flatMap((job) => Object.keys(job.losses)));
  for (const stage of stages) {
    const section = figure(place, `Loss of ${stage}`, "nats, mean of each epoch");
    drawn.push([section, aligned(jobs, (job) => job.losses[stage])]);
  }
  drawn.forEach(([section, curves]) => chart(section, curves));
  const hint = document.getElementById("no-curve");
  if (hint && drawn.length > 0) {
    hint.remove();
  }
}

function follow(now) {
  const events = new EventSource(now.dataset.live);
  // Parts of the page, made by the server with every text escaped.
  events.addEventListener("now", (event) => { now.innerHTML = event.data; });
  events.addEventListener("line", (event) => {
    const list = document.getElementById("events");
    list.insertAdjacentHTML("beforeend", event.data);
    list.scrollTop = list.scrollHeight;
  });
  events.addEventListener("curves", (event) => {
    latest = read(event.data);
    draw(latest);
  });
  events.addEventListener("end", () => {
    events.close();
    location.reload();
  });
}

// The curves as they were drawn last.
const curves = document.getElementById("curves");
let latest = curves ? read(curves.textContent) : [];
draw(latest);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw(latest));
document.getElementById("from-zero")?.addEventListener("change", () => draw(latest));
let drawnAgain;
window.addEventListener("resize", () => {
  clearTimeout(drawnAgain);
  drawnAgain = setTimeout(() => draw(latest), 200);
});
const now = document.getElementById("now");
if (now && now.dataset.live) {
  follow(now);
}

// What a filter that ends so may go on with: the values of the field that it compares, or the fields that begin so.
function completions(text, fields) {
  const compared = text.match(/(\w+)\s*(?:==|!=)\s*("?[^"]*)$/);
  if (compared) {
    const [, name, begun] = compared;
    const values = fields.find((field) => field.name === name)?.values ?? [];
    const before = text.slice(0, text.length - begun.length);
    return values.filter((value) => value.startsWith(begun)).map((value) => before + value);
  }
  const begun = text.match(/\w*$/)[0];
  const before = text.slice(0, text.length - begun.length);
  return fields.filter(({ name }) => name.startsWith(begun)).map(({ name }) => before + name);
}

const filter = document.getElementById("filter");
const known = document.getElementById("fields");
if (filter && known) {
  const fields = read(known.textContent);
  const complete = () => {
    const options = completions(filter.value, fields).map((text) => {
      const option = document.createElement("option");
      option.value = text;
      return option;
    });
    document.getElementById("filters").replaceChildren(...options);
  };
  filter.addEventListener("input", complete);
  filter.addEventListener("focus", complete);
}

// What went wrong with a part of the page is said where that part would be.
function failed(event) {
  const { xhr, target } = event.detail;
  const page = new DOMParser().parseFromString(xhr?.responseText ?? "", "text/html");
  const said = page.querySelector("main .wrong")?.textContent ?? "The console does not answer.";
  const line = document.createElement("p");
  line.className = "wrong";
  line.textContent = said;
  target.replaceChildren(line);
  target.scrollIntoView();
}

document.body.addEventListener("htmx:responseError", failed);
document.body.addEventListener("htmx:sendError", failed);
