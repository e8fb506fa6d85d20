
/* SPDX-License-Identifier: Apache-2.0
 * Lines over the last two minutes. A gap in the values is a gap in the line. */

const SAMPLES = 120;
const HEIGHT = 100;

/* The next of 1, 2, 5, 10, 20 .. above a value. */
function niceAbove(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const factor of [1, 2, 5]) if (value <= factor * power) return factor * power;
  return 10 * power;
}

/* names: of the lines; text: of a value; round: a scale's end at or above a value */
function makeChart(title, names, text, round) {
  const top = make("span");
  const svg = make("svg", {viewBox: `0 0 ${SAMPLES - 1} ${HEIGHT}`, preserveAspectRatio: "none", role: "img"},
    ...[0, HEIGHT / 2, HEIGHT].map((y) => make("line", {x1: 0, x2: SAMPLES - 1, y1: y, y2: y})));
  const keys = make("ul", {class: "keys"});
  const lines = names.map((name, i) => {
    const path = make("path", {class: "s" + i});
    const value = make("span");
    const mark = make("svg", {viewBox: "0 0 22 8", "aria-hidden": "true"}, make("path", {class: "s" + i, d: "M0 4H22"}));
    svg.append(path);
    keys.append(make("li", {}, mark, name + " ", value));
    return {name, path, value, samples: []};
  });
  const figure = make("figure", {}, make("figcaption", {}, make("b", {}, title), top), svg, keys);

  function draw() {
    const all = lines.flatMap((line) => line.samples.filter((sample) => sample !== null));
    const scale = round(Math.max(0, ...all));
    say(top, "0 to " + text(scale));
    for (const line of lines) {
      const start = SAMPLES - line.samples.length;
      let pen = "M";
      let d = "";
      line.samples.forEach((sample, i) => {
        if (sample === null) {
          pen = "M";
          return;
        }
        d += `${pen}${start + i} ${(HEIGHT - sample / scale * HEIGHT).toFixed(1)}`;
        if (pen === "M") d += "h0.01"; /* a lone sample is a dot */
        pen = "L";
      });
      line.path.setAttribute("d", d);
    }
    const now = lines.map((line) => `${line.name} ${line.value.textContent}`).join(", ");
    svg.setAttribute("aria-label", `${title}, last two minutes; now ${now}`);
  }

  /* One value per line, null where there is none. */
  function push(values) {
    lines.forEach((line, i) => {
      line.samples.push(values[i]);
      if (line.samples.length > SAMPLES) line.samples.shift();
      say(line.value, values[i] === null ? "\u2013" : text(values[i]), values[i]);
    });
    draw();
  }
  draw();
  return {figure, push};
}
