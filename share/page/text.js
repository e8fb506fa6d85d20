/* SPDX-License-Identifier: Apache-2.0
 * Figures as text, and elements. Text gets into the page as text only, never as markup. */

const byId = (id) => document.getElementById(id);

/* An element with attributes and children; a string becomes text. */
function make(name, attributes, ...children) {
  const svg = ["svg", "path", "line"].includes(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/* Only what changed is touched, so that a selection and a screen reader's place survive. */
function say(element, text, raw) {
  if (element.textContent !== text) element.textContent = text;
  if (raw !== undefined) element.dataset.raw = String(raw);
}

function round3(value) {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function textOfBytes(value) {
  const names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let step = 0;
  while (value >= 1024 && step + 1 < names.length) {
    value /= 1024;
    step++;
  }
  return (step === 0 ? String(Math.round(value)) : round3(value)) + "\u00a0" + names[step];
}

function textOfCount(value) {
  return Math.round(value).toLocaleString("en-US").replaceAll(",", "\u202f");
}

function textOfRate(value) {
  return value < 10 && value !== Math.round(value) ? value.toFixed(1) : textOfCount(value);
}

function textOfMicros(value) {
  if (value === null) return "\u2013";
  if (value < 1000) return Math.round(value) + "\u00a0\u00b5s";
  if (value < 1e6) return round3(value / 1000) + "\u00a0ms";
  return round3(value / 1e6) + "\u00a0s";
}

function textOfPercent(share) {
  const percent = share * 100;
  if (percent > 0 && percent < 0.1) return "<0.1\u00a0%";
  if (percent < 100 && percent > 99.9) return ">99.9\u00a0%";
  return (percent < 10 ? percent.toFixed(1) : percent.toFixed(0)) + "\u00a0%";
}

function textOfTime(ms) {
  const seconds = Math.floor(ms / 1000);
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor(seconds / 3600) % 24;
  const minutes = Math.floor(seconds / 60) % 60;
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min ${seconds % 60} s` : `${seconds} s`;
}
