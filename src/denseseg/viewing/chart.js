// One structure's uv map, in a box of an image: uv at a place, the place of a uv, lines of equal u or v.

import { decode, isolines } from "./widget.js";

const INVALID = -32768;
const RADIUS = 3; // pixels of the window of an affine fit on each side

// The arrays of a map that Python has packed (`pack_chart` in explorer.py).
export function unpacked({ x, y, width, height, limit, uv }) {
  const steps = decode(uv, Int16Array), area = width * height;
  const values = Float32Array.from(steps, (step) => (step * limit) / 32767);
  const valid = Array.from({ length: area }, (_, i) => steps[i] !== INVALID);
  return { x, y, width, height, u: values.subarray(0, area), v: values.subarray(area), valid };
}

export class Chart {
  // x, y: where its first pixel lies; u, v, valid: row by row; extent: pixels per unit of u and of v, for what is nearest in uv.
  constructor({ x, y, width, height, u, v, valid, extent = [1, 1] }) {
    Object.assign(this, { x, y, width, height, u, v, valid, extent });
    const area = valid.reduce((sum, one) => sum + Number(one), 0);
    this.sigma = Math.min(Math.max(0.08 * Math.sqrt(area), 0.5), 1.5); // of the affine fit: narrower in a small structure
  }

  index(column, row) {
    const inside = column >= 0 && row >= 0 && column < this.width && row < this.height;
    const i = row * this.width + column;
    return inside && this.valid[i] ? i : -1;
  }

  // uv at image point (x, y): bilinear over the valid ones of the four pixels round it; null outside the map.
  at(x, y) {
    x -= this.x;
    y -= this.y;
    if (this.index(Math.round(x), Math.round(y)) < 0) return null;
    let weights = 0, u = 0, v = 0;
    for (const column of [Math.floor(x), Math.floor(x) + 1])
      for (const row of [Math.floor(y), Math.floor(y) + 1]) {
        const i = this.index(column, row);
        if (i < 0) continue;
        const weight = (1 - Math.abs(x - column)) * (1 - Math.abs(y - row));
        weights += weight;
        u += weight * this.u[i];
        v += weight * this.v[i];
      }
    return [u / weights, v / weights];
  }

  // The image point that has this uv: from the nearest pixel, three steps of a local affine fit (decode.affine_inversion).
  // Null where the map does not reach that uv, even when continued by `reach` pixels.
  find(u, v, reach = RADIUS) {
    let nearest = -1, least = Infinity;
    const [a, b] = this.extent;
    for (let i = 0; i < this.u.length; i++) {
      const distance = (a * (this.u[i] - u)) ** 2 + (b * (this.v[i] - v)) ** 2;
      if (this.valid[i] && distance < least) [nearest, least] = [i, distance];
    }
    if (nearest < 0) return null;
    let column = nearest % this.width, row = Math.floor(nearest / this.width), x = column, y = row, beyond = 0;
    for (let step = 0; step < 3; step++) {
      const next = this.step(column, row, x, y, u, v);
      if (!next) break;
      const [right, down] = [next[0] - column, next[1] - row];
      beyond = Math.hypot(right, down);
      if (beyond > 2 * RADIUS) break; // no such fit is believed
      const share = Math.min(1, RADIUS / beyond);
      [x, y] = [column + share * right, row + share * down];
      if (this.index(Math.round(x), Math.round(y)) >= 0) [column, row] = [Math.round(x), Math.round(y)];
    }
    return beyond > reach ? null : [this.x + x, this.y + y];
  }

  // Weighted least squares uv = mean + A (p - centre) over the window round (column, row); returns p where it equals (u, v).
  step(column, row, x, y, u, v) {
    const rows = [];
    for (let c = column - RADIUS; c <= column + RADIUS; c++)
      for (let r = row - RADIUS; r <= row + RADIUS; r++) {
        const i = this.index(c, r);
        if (i >= 0) rows.push([Math.exp(-((c - x) ** 2 + (r - y) ** 2) / (2 * this.sigma ** 2)), c, r, this.u[i], this.v[i]]);
      }
    if (rows.length < 6) return null;
    const total = rows.reduce((sum, r) => sum + r[0], 0);
    const mean = [0, 1, 2, 3, 4].map((k) => rows.reduce((sum, r) => sum + r[0] * r[k], 0) / total);
    const moment = (a, b) => rows.reduce((sum, r) => sum + r[0] * (r[a] - mean[a]) * (r[b] - mean[b]), 0) / total;
    const xx = moment(1, 1) + 1e-7, xy = moment(1, 2), yy = moment(2, 2) + 1e-7, spread = xx * yy - xy * xy;
    const slope = (k) => [(yy * moment(1, k) - xy * moment(2, k)) / spread, (xx * moment(2, k) - xy * moment(1, k)) / spread];
    const [ux, uy] = slope(3), [vx, vy] = slope(4), area = ux * vy - uy * vx;
    const du = u - mean[3], dv = v - mean[4];
    const found = [mean[1] + (vy * du - uy * dv) / area, mean[2] + (ux * dv - vx * du) / area];
    return found.every(Number.isFinite) ? found : null;
  }

  // Lines of equal u (channel "u") or v, as one SVG path.
  isolines(channel, levels) {
    return isolines(this[channel], this.valid, this.width, levels, [this.x, this.y]);
  }
}
