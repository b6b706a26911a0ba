"use strict";
// Numbers, times and sizes as text.

/// Formats a number with the given significant digits.
function formatNumber(value, digits = 5) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "number") return String(value);
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e7)) {
    return value
      .toExponential(Math.max(0, digits - 2))
      .replace(/\.?0+e/, "e")
      .replace("e+", "e");
  }
  return String(Number(value.toPrecision(digits)));
}

/// Formats a value of a parameter. Choices are stored as indices of their labels.
function formatAxisValue(axis, value) {
  if (value === null || value === undefined) return "";
  return axis.labels.length ? axis.labels[value] : formatNumber(value);
}

function sizeText(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB"];
  const power = Math.min(3, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${formatNumber(bytes / 1024 ** power, 3)} ${units[power]}`;
}

/// Returns a time stamp in seconds and in the time zone of the browser; another text as it is.
function shortTime(text) {
  if (typeof text !== "string" || !/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text)) return String(text);
  const time = new Date(text);
  const local = new Date(time.getTime() - time.getTimezoneOffset() * 60000);
  return local.toISOString().slice(0, 19).replace("T", " ");
}

/// Shortens a text to at most `limit` characters.
function truncate(text, limit) {
  const characters = Array.from(String(text));
  return characters.length > limit ? characters.slice(0, limit - 1).join("") + "…" : String(text);
}

function formatPercent(share) {
  return Math.round(share * 100) + " %";
}
