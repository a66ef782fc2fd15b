// The vehicle symbols, drawn once per state on a canvas: an arrow for what moves or alarms, a disc for
// what stands or is away. The map turns them by heading.

import type { State } from "../fleet/state";
import { STATE_COLOURS } from "./palette";

const SIZE = 32;
const RATIO = 2;

export const ICON_RATIO = RATIO;

export function vehicleIcon(state: State): ImageData {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE * RATIO;
  const pen = canvas.getContext("2d");
  if (!pen) throw new Error("no canvas");
  pen.scale(RATIO, RATIO);
  pen.translate(SIZE / 2, SIZE / 2);
  pen.shadowColor = "rgba(10, 20, 30, 0.45)";
  pen.shadowBlur = 3 * RATIO;
  pen.shadowOffsetY = RATIO;
  pen.lineJoin = "round";
  const path = state === "offline" || state === "stopped" ? disc(state) : arrow();
  pen.strokeStyle = "#ffffff";
  pen.lineWidth = 4;
  pen.stroke(path);
  pen.shadowColor = "transparent";
  pen.fillStyle = STATE_COLOURS[state];
  pen.fill(path);
  if (state === "stopped") {
    pen.fillStyle = "#ffffff";
    pen.fillRect(-2.75, -3, 2, 6);
    pen.fillRect(0.75, -3, 2, 6);
  }
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

function arrow(): Path2D {
  const path = new Path2D();
  path.moveTo(0, -11);
  path.lineTo(8, 9);
  path.lineTo(0, 5);
  path.lineTo(-8, 9);
  path.closePath();
  return path;
}

function disc(state: State): Path2D {
  const path = new Path2D();
  path.arc(0, 0, state === "stopped" ? 7 : 5, 0, 2 * Math.PI);
  return path;
}
