// Chooses the number of columns and how much each tile shows, so that all cameras fit the screen.
//
// `full` shows the picture, detections, latency and flow; `brief` the picture, state and detections;
// `wall` the picture and the name. The first with which all cameras fit is used, with tiles as large as
// possible. If none fits, brief tiles scroll. If the user chose the wall, its pictures may be smaller.

// In pixels: the least width of a tile, what stands above all tiles, a tile's height without its
// picture, the gap. `over`: where rows have several tiles, the share of the height that may be left to
// scroll to: what stands below the pictures of the last row.
const LEVELS = {
  full: { least: 350, above: 30, beside: 174, gap: 14, over: 0.15 },
  brief: { least: 236, above: 8, beside: 56, gap: 10, over: 0.05 },
  wall: { least: 190, above: 8, beside: 26, gap: 6, over: 0.05 },
};
const LEAST_ON_WALL = 150;

function fit({ least, above, beside, gap, over }, count, width, height) {
  const widest = Math.max(Math.floor((width + gap) / (least + gap)), 1);
  for (let columns = 1; columns <= Math.min(widest, count); columns += 1) {
    const across = (width - gap * (columns - 1)) / columns;
    const down = across * 9 / 16 + beside + gap;
    const most = (height - above) * (columns > 1 ? 1 + over : 1);
    if (Math.ceil(count / columns) * down - gap <= most) return { columns, fits: true };
  }
  return { columns: widest, fits: false };
}

// `width` and `height`: the space below the page's header, in pixels.
export function arrangement(count, width, height, walled) {
  if (walled) {
    const { columns } = fit({ ...LEVELS.wall, least: LEAST_ON_WALL }, count, width, height);
    return { level: "wall", columns };
  }
  if (count <= 1) return { level: "full", columns: 1 };
  for (const level of Object.keys(LEVELS)) {
    const { columns, fits } = fit(LEVELS[level], count, width, height);
    if (fits) return { level, columns };
  }
  return { level: "brief", columns: fit(LEVELS.brief, count, width, height).columns };
}
