"use strict";
// Artifacts of a trial: images, tables and texts.

/// Maximum number of rows and columns of an artifact that is shown as a table.
const MOST_TABLE_ROWS = 200;
const MOST_TABLE_COLUMNS = 40;
/// Images up to this size are loaded without a click.
const SMALL_IMAGE = 1 << 20;

/// Returns the rows of a text in the form of its name: CSV, TSV or JSON; `null` for another form.
function tableOf(path, text) {
  const ending = path.split(".").pop().toLowerCase();
  if (ending === "csv" || ending === "tsv")
    return delimitedRows(text, ending === "csv" ? "," : "\t");
  if (ending !== "json" && ending !== "jsonl") return null;
  let items;
  try {
    items =
      ending === "json"
        ? JSON.parse(text)
        : text.split("\n").flatMap((line) => (line.trim() ? [JSON.parse(line)] : []));
  } catch {
    return null;
  }
  const isRecord = (item) => item !== null && typeof item === "object" && !Array.isArray(item);
  if (!Array.isArray(items) || !items.length || !items.every(isRecord)) return null;
  const names = [...new Set(items.flatMap((item) => Object.keys(item)))];
  const cell = (value) =>
    value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  return [names, ...items.map((item) => names.map((name) => cell(item[name])))];
}

/// Returns the cells of each row of a text with delimiters and quotes (RFC 4180).
function delimitedRows(text, delimiter) {
  const rows = [[]];
  let [cell, isQuoted] = ["", false];
  for (let index = 0; index < text.length && rows.length <= MOST_TABLE_ROWS + 1; index++) {
    const char = text[index];
    if (isQuoted) {
      if (char !== '"') cell += char;
      else if (text[index + 1] === '"') cell += text[++index];
      else isQuoted = false;
    } else if (char === '"' && cell === "") isQuoted = true;
    else if (char === delimiter || char === "\n") {
      rows[rows.length - 1].push(cell.replace(/\r$/, ""));
      cell = "";
      if (char === "\n") rows.push([]);
    } else cell += char;
  }
  if (cell || rows[rows.length - 1].length) rows[rows.length - 1].push(cell);
  return rows.filter((row) => row.length);
}

/// Returns an artifact as an element: an image, a table or a text.
async function artifactNode(address, { path, kind, bytes }) {
  const reply = await fetch(`artifact?${address}&path=${encodeURIComponent(path)}`);
  if (!reply.ok) return element("p", "note", (await reply.text()).trim());
  if (kind === "image") {
    const image = element("img");
    image.alt = path;
    const types = { svg: "image/svg+xml", jpg: "image/jpeg" };
    const ending = path.split(".").pop().toLowerCase();
    const type = types[ending] || `image/${ending}`;
    image.src = URL.createObjectURL(new Blob([await reply.arrayBuffer()], { type }));
    image.addEventListener("load", () => URL.revokeObjectURL(image.src));
    return image;
  }
  const text = await reply.text();
  const rows = tableOf(path, text);
  const box = element("div", "scroll");
  if (rows === null) box.append(element("pre", "", text));
  else {
    const shown = rows.slice(0, MOST_TABLE_ROWS + 1).map((row) => row.slice(0, MOST_TABLE_COLUMNS));
    box.append(plainTable(shown[0] || [], shown.slice(1)));
  }
  const isCut = text.length < bytes * 0.9 || (rows && rows.length > MOST_TABLE_ROWS + 1);
  if (isCut) box.append(element("p", "note", `the beginning of ${sizeText(bytes)}`));
  return box;
}

/// Returns a list of artifacts. Small images are shown at once, others and texts after a click.
function artifactList(address, artifacts) {
  const list = element("div", "artifacts");
  for (const artifact of artifacts) {
    const item = element("details");
    const size = sizeText(artifact.bytes);
    item.append(element("summary", "", `${artifact.path.replace("artifacts/", "")}  (${size})`));
    item.addEventListener("toggle", async () => {
      if (!item.open || item.childElementCount > 1) return;
      const node =
        artifact.kind === "other"
          ? element(
              "p",
              "note",
              `the page does not show files of this kind; it is ${artifact.path}`,
            )
          : await artifactNode(address, artifact).catch((error) =>
              element("p", "note", String(error)),
            );
      item.append(node);
    });
    item.open =
      artifact.kind === "image" && artifact.bytes <= SMALL_IMAGE && artifacts.length <= 24;
    list.append(item);
  }
  return list;
}
