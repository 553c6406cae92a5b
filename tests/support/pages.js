// What a browser makes of pages and pictures: run by pages.html, one finding a line.
"use strict";

const SLACK = 1.5;
const CODE = ".highlight-python, .highlight-pycon, .highlight-console, .highlight-yaml, .doctest, svg";

function name(element) {
  const text = (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 60);
  return `${element.tagName.toLowerCase()} “${text}”`;
}

// Prose: whatever is read, and neither code nor a table of figures.
function isProse(element) {
  if (element.closest(CODE)) return false;
  const table = element.closest("table") || element.querySelector(":scope > table");
  return !(table && table.rows[0] && table.rows[0].cells.length > 5);
}

function isShown(element) {
  const style = element.ownerDocument.defaultView.getComputedStyle(element);
  return style.visibility === "visible" && style.display !== "none" && element.getClientRects().length > 0;
}

// A word of a title that is broken in the middle has several rectangles, one below another.
function brokenWords(element) {
  const found = [];
  const walker = element.ownerDocument.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    for (const match of node.data.matchAll(/[\p{L}\p{N}]+/gu)) {
      const range = element.ownerDocument.createRange();
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      const tops = new Set([...range.getClientRects()].map((each) => Math.round(each.top)));
      if (tops.size > 1) found.push(match[0]);
    }
  }
  return found;
}

function look(document) {
  const findings = [];
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth + SLACK) {
    findings.push(`the page scrolls sideways: ${root.scrollWidth} of ${root.clientWidth} px`);
  }
  for (const element of document.querySelectorAll("article *")) {
    if (!isShown(element) || !isProse(element)) continue;
    const style = document.defaultView.getComputedStyle(element);
    if (style.overflowX !== "visible" && element.clientWidth > 0 &&
        element.scrollWidth > element.clientWidth + SLACK) {
      const how = style.overflowX === "hidden" || style.overflowX === "clip" ? "is cut" : "scrolls";
      findings.push(`${name(element)} ${how}: ${element.scrollWidth} of ${element.clientWidth} px`);
    }
  }
  for (const title of document.querySelectorAll("article h1, article h2, article h3")) {
    for (const word of brokenWords(title)) findings.push(`${name(title)}: “${word}” is broken`);
  }
  for (const image of document.querySelectorAll("article img")) {
    if (!image.complete || image.naturalWidth === 0) findings.push(`${image.src} is not there`);
  }
  return findings;
}

function luminance(colour) {
  const [red, green, blue] = colour.match(/[\d.]+/g).map((each) => {
    const share = Number(each) / 255;
    return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

function inside(inner, outer, slack) {
  return inner.left >= outer.left - slack && inner.right <= outer.right + slack &&
    inner.top >= outer.top - slack && inner.bottom <= outer.bottom + slack;
}

function overlap(one, other, slack) {
  return one.left < other.right - slack && other.left < one.right - slack &&
    one.top < other.bottom - slack && other.top < one.bottom - slack;
}

// Text that leaves its picture, meets other text or an edge, or is hardly seen.
function lookAtPicture(svg) {
  const findings = [];
  const view = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].filter(isShown);
  const boxes = [...svg.querySelectorAll("rect")].filter(isShown);
  const style = (element) => svg.ownerDocument.defaultView.getComputedStyle(element);
  // A box that is drawn after a line, and before the text in it, hides the line.
  const isCovered = (line, text) => boxes.some((box) => style(box).fill !== "none" &&
    line.compareDocumentPosition(box) & Node.DOCUMENT_POSITION_FOLLOWING &&
    inside(text.getBoundingClientRect(), box.getBoundingClientRect(), 2));
  const hasHalo = (text) => style(text).paintOrder.startsWith("stroke") && style(text).stroke !== "none";
  texts.forEach((text, place) => {
    const bounds = text.getBoundingClientRect();
    if (!inside(bounds, view, 0)) findings.push(`${name(text)} leaves the picture`);
    for (const other of texts.slice(place + 1)) {
      if (overlap(bounds, other.getBoundingClientRect(), 2)) {
        findings.push(`${name(text)} lies on ${name(other)}`);
      }
    }
    let ground = "rgb(255, 255, 255)";
    for (const box of boxes) {
      const edges = box.getBoundingClientRect();
      if (inside(bounds, edges, 2)) {
        if (style(box).fill !== "none") ground = style(box).fill;
      } else if (overlap(bounds, edges, 3) && !hasHalo(text)) {
        findings.push(`${name(text)} lies on the edge of a box`);
      }
    }
    const seen = contrast(style(text).fill, ground);
    if (seen < 4.5) findings.push(`${name(text)} has a contrast of ${seen.toFixed(1)}`);
  });
  for (const line of svg.querySelectorAll("path, line")) {
    if (!isShown(line) || line.getTotalLength === undefined) continue;
    const length = line.getTotalLength();
    const matrix = line.getScreenCTM();
    for (const text of texts) {
      if (hasHalo(text) || isCovered(line, text)) continue;
      const bounds = text.getBoundingClientRect();
      for (let at = 0; at <= length; at += 3) {
        const point = line.getPointAtLength(at).matrixTransform(matrix);
        const dot = { left: point.x, right: point.x, top: point.y, bottom: point.y };
        if (inside(dot, bounds, -4)) {
          findings.push(`a line crosses ${name(text)}`);
          break;
        }
      }
    }
  }
  return findings;
}

async function load(frame, url, width) {
  frame.style.width = `${width}px`;
  const loaded = new Promise((resolve) => frame.addEventListener("load", resolve, { once: true }));
  frame.src = url;
  await loaded;
  await frame.contentDocument.fonts?.ready;
  // Images decide how high a page is, and whether it has a scroll bar.
  for (const image of frame.contentDocument.images || []) {
    image.loading = "eager";
    await image.decode().catch(() => {});
  }
  return frame.contentDocument;
}

async function main() {
  const { pages, pictures, widths } = await (await fetch("/task")).json();
  const frame = document.querySelector("iframe");
  const findings = [];
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  for (const page of pages) {
    for (const width of widths) {
      for (const each of look(await load(frame, page, width))) findings.push(`${page} at ${width} px: ${each}`);
    }
  }
  for (const picture of pictures) {
    const loaded = await load(frame, picture, 1400);
    for (const each of lookAtPicture(loaded.documentElement)) findings.push(`${picture}: ${each}`);
  }
  return { dark, looked: pages.length * widths.length + pictures.length, findings };
}

main().catch((error) => ({ findings: [String(error.stack || error)] }))
  .then((result) => fetch("/result", { method: "POST", body: JSON.stringify(result) }));
