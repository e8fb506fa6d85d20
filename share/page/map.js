
/* SPDX-License-Identifier: Apache-2.0
 * The picture of the device: a cell for each zone, or for each 1 MiB of one zone. A large device is
 * asked for in pieces, one at a time, round and round. */

const CELL_MAX = 30;
const CELL_MIN = 3;
const MAP_HEIGHT = 330;
const ROWS_SHOWN = 64;

/* Figures of one cell: share used, free bytes, share of the free space that is split up. Text is made
 * when it is wanted: thousands of cells are painted, one is described. */
function zoneCell(data, i) {
  const units = data.units[i];
  if (units === undefined) return null;
  const free = data.free_units[i];
  const whole = data.free_chunks[i] * 256;
  return {name: `Zone ${i}`, used: 1 - free / units, usedBytes: (units - free) * 4096, freeBytes: free * 4096,
    split: free > 0 ? (free - whole) / free : 0, last: () => textOfCount(data.free_chunks[i]),
    text: () => `${textOfCount(data.free_chunks[i])} of ${textOfCount(data.chunks[i])} chunks of 1 MiB are free as a whole`};
}

function chunkCell(data, i) {
  const units = data.units[i];
  if (units === undefined) return null;
  const free = data.free_units[i];
  const order = data.largest_order[i];
  const largest = order < 0 ? 0 : 2 ** order;
  return {name: `Chunk ${i}`, used: 1 - free / units, usedBytes: (units - free) * 4096, freeBytes: free * 4096,
    split: free > 0 ? (free - largest) / free : 0, last: () => textOfBytes(largest * 4096),
    text: () => order < 0 ? "no free extent" : `largest free extent ${textOfBytes(largest * 4096)}`};
}

/* Red, green, blue of a colour of the style sheet, which are all written as #rrggbb. */
function colourOf(name) {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

/* From nothing over a pale tone to the full one; the smallest share can be told from none. */
function ramp(share, stops) {
  const place = share <= 0 ? 0 : 0.16 + 0.84 * Math.min(1, share);
  const step = place < 0.5 ? 0 : 1;
  const mix = stops[step].map((from, i) => from + (stops[step + 1][i] - from) * (place - step / 2) * 2);
  return `rgb(${mix.map(Math.round).join(" ")})`;
}

const map = (() => {
  const view = byId("map-view");
  const canvas = byId("map-canvas");
  const zones = {units: [], free_units: [], chunks: [], free_chunks: [], count: 0, next: 0};
  let chunks = {units: [], free_units: [], largest_order: [], count: 0, next: 0};
  let zone = null; /* the one that is open */
  let seen = false; /* all of the zones, once */
  let alone = false; /* a device of one zone shows that */
  let chosen = 0;
  let firstRow = 0;
  let grid = {columns: 1, size: CELL_MAX};

  const level = () => (zone === null ? zones : chunks);
  const cellAt = (i) => (zone === null ? zoneCell(zones, i) : chunkCell(chunks, i));

  function stopsOf() {
    const split = byId("by-split").checked;
    return ["--faint", split ? "--mid-split" : "--mid-used", split ? "--two" : "--one"].map(colourOf);
  }

  function layOut(count, width) {
    let size = CELL_MAX;
    while (size > CELL_MIN && Math.ceil(count / Math.floor(width / size)) * size > MAP_HEIGHT) size--;
    const columns = Math.max(1, Math.min(count, Math.floor(width / size)));
    const rows = Math.ceil(count / columns);
    return {columns, size: rows > 1 ? width / columns : size, rows};
  }

  /* Whole pixels, so that the edges are sharp. */
  function place(i) {
    const at = (n) => Math.floor(n * grid.size);
    const column = i % grid.columns;
    const row = Math.floor(i / grid.columns);
    return {x: at(column), y: at(row), wide: at(column + 1) - at(column), high: at(row + 1) - at(row)};
  }

  function paint() {
    const count = level().count;
    const width = view.clientWidth;
    if (count === 0 || width === 0) return;
    const scale = window.devicePixelRatio || 1;
    grid = layOut(count, width);
    const height = Math.ceil(grid.rows * grid.size);
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    canvas.style.height = height + "px";
    canvas.dataset.size = String(grid.size);
    canvas.dataset.columns = String(grid.columns);
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    const stops = stopsOf();
    const split = byId("by-split").checked;
    const style = getComputedStyle(document.documentElement);
    const gap = grid.size >= 6 ? 2 : 1;
    for (let i = 0; i < count; i++) {
      const {x, y, wide, high} = place(i);
      const cell = cellAt(i);
      if (cell === null) {
        pen.strokeStyle = style.getPropertyValue("--line");
        pen.strokeRect(x + 0.5, y + 0.5, wide - gap - 1, high - gap - 1);
        continue;
      }
      pen.fillStyle = ramp(split ? cell.split : cell.used, stops);
      pen.fillRect(x, y, wide - gap, high - gap);
    }
    pen.strokeStyle = style.getPropertyValue("--ink");
    pen.lineWidth = 2;
    const {x, y, wide, high} = place(chosen);
    pen.strokeRect(x + 1, y + 1, wide - gap - 2, high - gap - 2);
  }

  function describe(i) {
    const cell = cellAt(i);
    const kind = zone === null ? "Zone" : "Chunk";
    if (cell === null) return `${kind} ${i}: not in use yet`;
    return `${cell.name}: ${textOfPercent(cell.used)} used, ${textOfBytes(cell.freeBytes)} free, `
      + `${textOfPercent(cell.split)} of that split up, ${cell.text()}.`;
  }

  function legend() {
    const bar = make("canvas", {width: 120, height: 12});
    const pen = bar.getContext("2d");
    const stops = stopsOf();
    for (let x = 0; x < 120; x++) {
      pen.fillStyle = ramp(x / 119, stops);
      pen.fillRect(x, 0, 1, 12);
    }
    const split = byId("by-split").checked;
    const about = !split ? [] : [make("span", {}, zone === null ? "share of the free space that is not in whole chunks of 1 MiB"
      : "share of the free space that is outside the largest free extent")];
    byId("map-legend").replaceChildren(make("span", {}, split ? "whole" : "empty", bar, split ? "split up" : "full"), ...about);
  }

  function rows() {
    if (!byId("map-table").open) return;
    const {count} = level();
    firstRow = Math.max(0, Math.min(firstRow, count - 1));
    const end = Math.min(count, firstRow + ROWS_SHOWN);
    byId("rows-before").disabled = firstRow === 0;
    byId("rows-after").disabled = end === count;
    const kind = zone === null ? "Zone" : "Chunk";
    say(byId("map-caption"), `${kind}s ${firstRow} to ${end - 1} of ${textOfCount(count)}`
      + (zone === null ? "" : ` in zone ${zone}`));
    const heads = [kind, "Used", "Used bytes", "Free bytes", "Free space split up", zone === null ? "Whole free chunks" : "Largest free extent"];
    if (byId("map-head").textContent !== heads.join("")) {
      byId("map-head").replaceChildren(make("tr", {}, ...heads.map((text) => make("th", {scope: "col"}, text))));
    }
    const body = byId("map-rows");
    while (body.children.length > end - firstRow) body.lastChild.remove();
    for (let i = firstRow; i < end; i++) {
      const cell = cellAt(i);
      const texts = cell === null ? ["not in use yet", "", "", "", ""]
        : [textOfPercent(cell.used), textOfBytes(cell.usedBytes), textOfBytes(cell.freeBytes), textOfPercent(cell.split), cell.last()];
      if (i - firstRow === body.children.length) {
        body.append(make("tr", {}, make("th", {scope: "row"}), ...texts.map(() => make("td"))));
      }
      [String(i), ...texts].forEach((text, column) => say(body.children[i - firstRow].children[column], text));
    }
  }

  function draw() {
    const {count} = level();
    chosen = Math.max(0, Math.min(chosen, count - 1));
    say(byId("map-where"), zone === null
      ? `${textOfCount(count)} zones, ${textOfCount(zones.units.length)} in use`
      : `Zone ${zone}: ${textOfCount(count)} chunks of 1 MiB`);
    byId("map-back").hidden = zone === null || alone;
    byId("map-view").dataset.level = zone === null ? "zones" : "chunks";
    paint();
    if (count > 0) say(byId("map-cell"), describe(chosen));
    rows();
  }

  function choose(i) {
    if (i < 0 || i >= level().count) return;
    chosen = i;
    paint();
    say(byId("map-cell"), describe(i));
    say(byId("map-said"), describe(i)); /* read aloud when the reader moves, not when figures change */
  }

  function enter(i) {
    if (zone !== null || zones.units[i] === undefined) return;
    zone = i;
    chosen = firstRow = 0;
    chunks = {units: [], free_units: [], largest_order: [], count: 0, next: 0};
    draw();
    legend();
    turn(true).catch(() => {}); /* the next turn of the page meets the same and says so */
  }

  function leave() {
    if (zone === null || alone) return;
    chosen = zone;
    zone = null;
    firstRow = 0;
    draw();
    legend();
    say(byId("map-said"), describe(chosen));
  }

  function take(into, piece, names, count) {
    into.count = count;
    for (const name of names) {
      into[name].length = Math.min(into[name].length, count);
      piece[name].forEach((value, i) => { into[name][piece.first + i] = value; });
    }
    const end = piece.first + piece[names[0]].length;
    into.next = piece[names[0]].length === 0 || end >= count ? 0 : end;
  }

  /* One piece more; all of a device that was not seen yet or of a zone that was just opened. */
  async function turn(all) {
    if (zone === null) {
      const piece = await askFor("/status/zones?first=" + zones.next);
      if (piece === null) return;
      take(zones, piece, ["units", "free_units", "chunks", "free_chunks"], piece.zones);
      byId("map").hidden = false;
      if (piece.zones === 1 && piece.zones_open === 1) {
        alone = true;
        enter(0);
        return;
      }
    } else {
      const asked = zone;
      const piece = await askFor(`/status/zones/${asked}?first=${chunks.next}`);
      if (piece === null || zone !== asked) return;
      take(chunks, piece, ["units", "free_units", "largest_order"], piece.chunks);
    }
    if (level().next !== 0 && (all || !seen)) {
      await turn(all);
      return;
    }
    if (zone === null) seen = true;
    draw();
  }

  function pointed(event) {
    const box = canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - box.left) / grid.size);
    const i = Math.floor((event.clientY - box.top) / grid.size) * grid.columns + column;
    return column >= 0 && column < grid.columns && i >= 0 && i < level().count ? i : -1;
  }

  view.addEventListener("keydown", (event) => {
    const page = grid.columns * 8;
    const steps = {ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns, ArrowDown: grid.columns,
      PageUp: -page, PageDown: page, Home: -chosen, End: level().count - 1 - chosen};
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in steps) choose(chosen + steps[event.key]);
    else if (event.key === "Enter") enter(chosen);
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
  });
  canvas.addEventListener("click", (event) => {
    const i = pointed(event);
    if (i < 0) return;
    choose(i);
    enter(i);
  });
  canvas.addEventListener("pointermove", (event) => {
    const i = event.pointerType === "mouse" ? pointed(event) : -1;
    if (i < 0 || i === chosen) return;
    chosen = i;
    paint();
    say(byId("map-cell"), describe(i));
  });
  byId("map-back").addEventListener("click", () => {
    leave();
    view.focus();
  });
  for (const id of ["by-used", "by-split"]) {
    byId(id).addEventListener("change", () => {
      legend();
      paint();
    });
  }
  byId("map-table").addEventListener("toggle", rows);
  byId("rows-before").addEventListener("click", () => {
    firstRow -= ROWS_SHOWN;
    rows();
  });
  byId("rows-after").addEventListener("click", () => {
    firstRow += ROWS_SHOWN;
    rows();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    legend();
    paint();
  });
  new ResizeObserver(paint).observe(view);
  legend();
  return {turn};
})();
