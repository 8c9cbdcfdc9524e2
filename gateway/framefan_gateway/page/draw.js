// Draws pictures and detections on a canvas, and places the labels of the detections.

const MANY = 20;  // with more boxes than this, labels would hide the picture
const PLATE = 17;
const SMALL = 360;
const HIDDEN = 0.25;  // the share of another box that a plate may hide
const FILL = 0.3;  // how much of its colour an outline is filled with
const SURE = 0.5;  // a key point with less confidence is not drawn

// Lines between the 17 key points of a person, in the order of COCO; other points are drawn alone.
// Snapshots have the same.
export const BONES = [
  [15, 13], [13, 11], [16, 14], [14, 12], [11, 12], [5, 11], [6, 12], [5, 6], [5, 7], [6, 8],
  [7, 9], [8, 10], [1, 2], [0, 1], [0, 2], [1, 3], [2, 4], [3, 5], [4, 6],
];

// A tracked detection has the colour of its track id, any other that of its label; as in snapshots.
export function colour(found) {
  if (found.track_id !== undefined) return hue(found.track_id * 137);
  let hash = 7;
  for (const letter of found.label) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  return hue(hash);
}

const hue = (degrees) => `hsl(${degrees % 360} 90% 68%)`;
const tag = (found) => (found.track_id === undefined ? "" : `#${found.track_id}`);

export function caption(found) {
  return [found.label, tag(found), found.confidence.toFixed(2)].filter(Boolean).join(" ");
}

// The canvas gets the picture's size; without a picture, that of the frame, scaled to the shown width.
export function paint(canvas, message, bitmap, width) {
  const across = bitmap ? bitmap.width : Math.min(message.width, width || 640);
  const down = bitmap ? bitmap.height : Math.round(across * message.height / message.width);
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
  }
  const pen = canvas.getContext("2d", { alpha: false });
  if (bitmap) {
    pen.drawImage(bitmap, 0, 0);
  } else {
    pen.fillStyle = "#0b0d0f";
    pen.fillRect(0, 0, across, down);
  }
  const shown = Math.min(canvas.clientWidth, canvas.clientHeight * across / down) || across;
  const unit = Math.min(Math.max(across / shown, 0.5), 16) * (shown < SMALL ? 0.85 : 1);
  drawDetections(pen, message.detections || [], across / message.width, unit);
}

// `scale`: pixels of the canvas to one of the frame; `unit`: to one of the page.
function drawDetections(pen, detections, scale, unit) {
  const line = unit * (detections.length > MANY ? 0.6 : 1);
  for (const found of detections) {
    drawOutline(pen, found, scale, line);
    if (found.keypoints) drawPoints(pen, found, scale, line);
  }
  pen.font = `600 ${12 * unit}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  const size = [pen.canvas.width, pen.canvas.height];
  const measure = (words) => pen.measureText(words).width + 8 * unit;
  for (const plate of plates(detections, scale, size, PLATE * unit, measure)) {
    const [x1, y1, x2, y2] = plate.box;
    pen.fillStyle = "rgb(0 0 0 / .75)";
    pen.fillRect(x1, y1, x2 - x1, y2 - y1);
    pen.fillStyle = colour(plate.found);
    pen.fillText(plate.words, x1 + 4 * unit, (y1 + y2) / 2);
  }
}

// The outline of a mask, filled lightly; the four sides of a rotated box; else the upright box.
function drawOutline(pen, found, scale, line) {
  const [x1, y1, x2, y2] = found.box;
  const points = found.mask || [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
  pen.beginPath();
  for (const [x, y] of points) pen.lineTo(x * scale, y * scale);
  pen.closePath();
  if (found.mask && found.angle === undefined) {
    pen.globalAlpha = FILL;
    pen.fillStyle = colour(found);
    pen.fill();
    pen.globalAlpha = 1;
  }
  stroke(pen, colour(found), line);
}

function drawPoints(pen, found, scale, line) {
  const points = found.keypoints.map(([x, y, sure]) => sure < SURE ? null : [x * scale, y * scale]);
  pen.beginPath();
  for (const [from, to] of points.length === 17 ? BONES : []) {
    if (!points[from] || !points[to]) continue;
    pen.moveTo(...points[from]);
    pen.lineTo(...points[to]);
  }
  stroke(pen, colour(found), line);
  for (const point of points.filter(Boolean)) {
    pen.beginPath();
    pen.arc(...point, 3 * line, 0, 2 * Math.PI);
    pen.fillStyle = colour(found);
    pen.fill();
    pen.lineWidth = line;
    pen.strokeStyle = "rgb(0 0 0 / .8)";
    pen.stroke();
  }
}

// A coloured line with a dark edge, which can be seen on any picture.
function stroke(pen, style, line) {
  pen.lineJoin = "round";
  pen.lineWidth = 4 * line;
  pen.strokeStyle = "rgb(0 0 0 / .6)";
  pen.stroke();
  pen.lineWidth = 2 * line;
  pen.strokeStyle = style;
  pen.stroke();
}

// ---- labels of boxes ----------------------------------------------------------------------------

// [{found, words, box}]: labels inside the picture that do not overlap and hide at most a quarter of
// another box. The largest box is placed first, so that labels rarely jump. A label without room is
// shortened or left out; hovering shows it.
// `size`: of the canvas; `tall`: height of a label; `measure(words)`: its width.
export function plates(detections, scale, size, tall, measure) {
  const seen = detections.map((found) => ({ found, box: found.box.map((value) => value * scale) }));
  const many = seen.length > MANY;
  const placed = [];
  for (const each of seen.toSorted((a, b) => areaOf(b.box) - areaOf(a.box))) {
    for (const words of wordsOf(each.found, many)) {
      const box = placeOf(each, measure(words), { seen, placed, size, tall });
      if (!box) continue;
      placed.push({ found: each.found, words, box });
      break;
    }
  }
  return placed;
}

function wordsOf(found, many) {
  const short = tag(found);
  if (many) return short ? [short] : [];
  return [caption(found), short || found.label];
}

function placeOf(each, wide, { seen, placed, size, tall }) {
  let best = null;
  let least = HIDDEN;
  for (const [x, y] of corners(each.box, wide, tall)) {
    const left = Math.min(Math.max(x, 0), size[0] - wide);
    const box = [left, y, left + wide, y + tall];
    const fits = left >= 0 && y >= 0 && y + tall <= size[1];
    if (!fits || placed.some((other) => common(other.box, box))) continue;
    const hides = Math.max(...seen.map((other) => common(other.box, box) / (areaOf(other.box) || 1)));
    if (hides === 0) return box;
    if (hides < least) [best, least] = [box, hides];
  }
  return best;
}

// Places to try: above the box, below it, beside it, inside it.
function corners([x1, y1, x2, y2], wide, tall) {
  return [
    [x1, y1 - tall], [x2 - wide, y1 - tall], [x1, y2], [x2 - wide, y2],
    [x2, y1], [x1 - wide, y1], [x1, y1],
  ];
}

const areaOf = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);

function common(a, b) {
  const across = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const down = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return across > 0 && down > 0 ? across * down : 0;
}

// The smallest box at a point of the displayed canvas, or null.
export function under(canvas, message, { x, y }) {
  const scale = Math.min(canvas.clientWidth / message.width, canvas.clientHeight / message.height);
  const left = (canvas.clientWidth - message.width * scale) / 2;
  const top = (canvas.clientHeight - message.height * scale) / 2;
  const [across, down] = [(x - left) / scale, (y - top) / scale];
  const hit = (message.detections || []).filter(({ box }) =>
    across >= box[0] && across <= box[2] && down >= box[1] && down <= box[3]);
  return hit.sort((a, b) => areaOf(a.box) - areaOf(b.box))[0] || null;
}
