// Boxes and pictures on a canvas.

export function colour(label) {
  let hash = 7;
  for (const letter of label) hash = (hash * 31 + letter.codePointAt(0)) % 360;
  return `hsl(${hash} 90% 68%)`;
}

export function caption(found) {
  const track = found.track_id === undefined ? "" : ` #${found.track_id}`;
  return `${found.label}${track} ${found.confidence.toFixed(2)}`;
}

// The canvas takes the picture's size; without a picture, that of the frame, in a width that is shown.
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
  drawBoxes(pen, message, across, Math.min(Math.max(across / shown, 0.5), 4));
}

// `unit`: pixels of the canvas to one of the page.
function drawBoxes(pen, message, across, unit) {
  const scale = across / message.width;
  pen.font = `600 ${12 * unit}px system-ui, sans-serif`;
  pen.textBaseline = "bottom";
  for (const found of message.detections || []) {
    const [x1, y1, x2, y2] = found.box.map((value) => value * scale);
    const ink = colour(found.label);
    pen.lineWidth = 4 * unit;
    pen.strokeStyle = "rgb(0 0 0 / .6)";
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    pen.lineWidth = 2 * unit;
    pen.strokeStyle = ink;
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    const words = caption(found);
    const wide = pen.measureText(words).width + 8 * unit;
    const x = Math.min(Math.max(x1 - unit, 0), Math.max(across - wide, 0));
    const y = Math.max(y1 - unit, 17 * unit);
    pen.fillStyle = "rgb(0 0 0 / .75)";
    pen.fillRect(x, y - 17 * unit, wide, 17 * unit);
    pen.fillStyle = ink;
    pen.fillText(words, x + 4 * unit, y - unit);
  }
}
