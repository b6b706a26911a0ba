"use strict";
// Logs of a trial. What a program has written becomes text nodes, and never markup.

/// Maximum number of lines of a log in the document.
const MOST_LINES = 4000;
/// Milliseconds between two requests for new lines.
const LOG_PAUSE = 1500;

/// Splits a line with escape sequences of a terminal into parts `{ text, style }`. `style` is what
/// earlier lines have left, and is changed.
function ansiParts(line, style) {
  // A terminal would show what follows the last carriage return.
  const shown = line.replace(/\r+$/, "").split("\r").pop();
  const parts = [];
  // eslint-disable-next-line no-control-regex
  const sequence =
    /\u001b\[([0-9;:?]*)([@-~])|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\|$)|\u001b.?/g;
  let from = 0;
  const push = (to) => {
    // eslint-disable-next-line no-control-regex
    const text = shown.slice(from, to).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "");
    if (text) parts.push({ text, style: { ...style } });
  };
  for (let match = sequence.exec(shown); match; match = sequence.exec(shown)) {
    push(match.index);
    from = sequence.lastIndex;
    if (match[2] === "m") applyStyle(match[1].split(/[;:]/).map(Number), style);
    if (sequence.lastIndex === match.index) break;
  }
  push(shown.length);
  return parts;
}

/// Applies the codes of a sequence that sets colours.
function applyStyle(codes, style) {
  for (let index = 0; index < codes.length; index++) {
    const code = codes[index];
    if (code === 0) for (const key of Object.keys(style)) delete style[key];
    else if (code === 1) style.bold = true;
    else if (code === 22) delete style.bold;
    else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) style.colour = code % 10;
    else if (code === 39) delete style.colour;
    else if (code === 38 || code === 48) {
      const isShort = codes[index + 1] === 5;
      const rgb = isShort ? paletteColour(codes[index + 2]) : codes.slice(index + 2, index + 5);
      if (code === 38 && rgb.every((part) => part >= 0 && part <= 255)) style.colour = rgb;
      index += isShort ? 2 : 4;
    }
  }
}

/// Returns red, green and blue of a colour of the palette of 256.
function paletteColour(number) {
  if (number >= 232) return [0, 0, 0].map(() => (number - 232) * 10 + 8);
  if (number < 16) return [0, 1, 2].map((bit) => ((number >> bit) & 1) * (number < 8 ? 170 : 230));
  const level = (divisor) => [0, 95, 135, 175, 215, 255][Math.floor((number - 16) / divisor) % 6];
  return [level(36), level(6), level(1)];
}

/// Returns a line of a log as an element.
function logLine(line, style) {
  const node = element("div");
  for (const { text, style: own } of ansiParts(line, style)) {
    const part = element("span", "", text);
    if (own.bold) part.classList.add("bold");
    if (typeof own.colour === "number") part.classList.add("ansi" + own.colour);
    else if (own.colour) part.style.color = `rgb(${own.colour.join(",")})`;
    node.append(own.bold || own.colour !== undefined ? part : text);
  }
  if (!node.firstChild) node.append("\u200b");
  return node;
}

/// A log that is read as it grows, with a search.
class LogView {
  constructor(address, name, isRunning) {
    Object.assign(this, {
      address,
      name,
      isRunning,
      end: null,
      style: {},
      count: 0,
      isClosed: false,
    });
    this.node = element("section", "part wide");
    this.node.hidden = true;
    const head = element("div", "head");
    this.search = element("input");
    this.search.type = "search";
    this.search.placeholder = "search";
    this.search.setAttribute("aria-label", `search ${name}`);
    this.search.addEventListener("input", () => this.filter());
    this.status = element("span", "note");
    head.append(element("h3", "", name), this.search, this.status);
    this.text = element("pre", "log");
    this.text.tabIndex = 0;
    this.text.setAttribute("aria-label", name);
    this.node.append(head, this.text);
    this.follow();
  }

  /// Reads new lines until the view is closed.
  async follow() {
    while (!this.isClosed) {
      await this.read().catch(() => {});
      if (!this.isRunning()) break;
      await new Promise((resolve) => setTimeout(resolve, LOG_PAUSE));
    }
    // The trial may have written its last lines after the last look.
    if (!this.isClosed) await this.read().catch(() => {});
  }

  async read() {
    const from = this.end === null ? "" : `&from=${this.end}`;
    const reply = await fetch(`log?${this.address}&name=${this.name}${from}`, {
      cache: "no-store",
    });
    if (!reply.ok || this.isClosed) return;
    const { text, end, is_cut: isCut } = await reply.json();
    if (isCut || (this.end !== null && end < this.end)) this.text.replaceChildren();
    this.wasCut = this.wasCut || isCut;
    this.end = end;
    if (!text) return;
    const isAtEnd = this.text.scrollTop + this.text.clientHeight >= this.text.scrollHeight - 8;
    this.text.append(
      ...text
        .replace(/\n$/, "")
        .split("\n")
        .map((line) => logLine(line, this.style)),
    );
    while (this.text.childElementCount > MOST_LINES) {
      this.text.firstChild.remove();
      this.wasCut = true;
    }
    this.node.hidden = false;
    this.filter();
    if (isAtEnd) this.text.scrollTop = this.text.scrollHeight;
  }

  /// Shows the lines that contain the searched text.
  filter() {
    const wanted = this.search.value.toLowerCase();
    let count = 0;
    for (const line of this.text.children) {
      line.hidden = !line.textContent.toLowerCase().includes(wanted);
      count += line.hidden ? 0 : 1;
    }
    const all = this.text.childElementCount;
    const lines = wanted ? `${count} of ${all} lines` : `${all} lines`;
    const live = this.isRunning() ? "; live" : "";
    this.status.textContent = lines + (this.wasCut ? "; earlier ones are in the file" : "") + live;
  }

  close() {
    this.isClosed = true;
  }
}
