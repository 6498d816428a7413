"use strict";

/* Arrays, the rules of ROIs, and estimates: as the program computes them, to the last bit
   (reports/explore/pack.py, rois/define.py, rois/measure.py). */

const KINDS = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array };

async function inflate(base64) {
  const packed = Uint8Array.from(atob(base64), function (letter) { return letter.charCodeAt(0); });
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function unpack(directory, bytes) {
  const arrays = {};
  let at = 0;
  for (const [name, [kind, length]] of Object.entries(directory)) {
    const size = KINDS[kind].BYTES_PER_ELEMENT;
    const plain = new Uint8Array(length * size);
    for (let byte = 0; byte < size; byte++) {
      for (let i = byte; i < plain.length; i += size) { plain[i] = bytes[at++]; }
    }
    const values = new KINDS[kind](plain.buffer);
    if (kind[0] === "u") {  // differences, which wrap around
      for (let i = 1; i < length; i++) { values[i] += values[i - 1]; }
    }
    arrays[name] = values;
  }
  return arrays;
}

/* The ROIs of one hemisphere: ascending places of vertices, or null for one that is missing. */
function defineRois(half, rois, thresholds) {
  const members = rois.map(function (roi, k) { return membersOf(half, roi, k, thresholds[k]); });
  const passes = new Uint8Array(half.vertices.length);
  members.forEach(function (own) { (own || []).forEach(function (v) { passes[v] += 1; }); });
  const isKnown = !members.includes(null);
  return members.map(function (own, k) {
    if (!rois[k].exclusive || own === null) { return own; }
    return isKnown ? own.filter(function (v) { return passes[v] === 1; }) : null;
  });
}

function membersOf(half, roi, k, threshold) {
  if (roi.kind === "share") {  // of the participants
    const share = half.shares[k];
    return share && Uint32Array.from(share.keys()).filter(function (v) { return share[v] >= Math.fround(threshold); });
  }
  const part = half.parts[k];
  if (part === null || !roi.contrasts.length) { return part; }
  if (roi.kind === "fdr") {  // of the run
    const localized = half.localized[k];
    return localized && part.filter(function (v) { return localized[v]; });
  }
  const needed = roi.contrasts.concat(roi.exclude);
  if (needed.some(function (c) { return half.z[c] === null; })) { return null; }
  const active = needed.map(function (c) { return activated(half.z[c], part, roi, threshold); });
  const wanted = active.slice(0, roi.contrasts.length);
  const excluded = active.slice(roi.contrasts.length);
  return part.filter(function (v) {
    const passes = function (mask) { return mask[v] === 1; };
    return (roi.combine === "all" ? wanted.every(passes) : wanted.some(passes)) && !excluded.some(passes);
  });
}

/* Which vertices of the retinotopic part a contrast activates. */
function activated(z, part, roi, threshold) {
  const extremity = {
    "greater": function (v) { return z[v]; },
    "less": function (v) { return -z[v]; },
    "two-sided": function (v) { return Math.abs(z[v]); }
  }[roi.tail];
  const mask = new Uint8Array(z.length);
  if (roi.kind === "z") {  // strict, in the precision of the map; NaN never passes
    const limit = z instanceof Float32Array ? Math.fround(threshold) : threshold;
    part.forEach(function (v) { mask[v] = extremity(v) > limit ? 1 : 0; });
    return mask;
  }
  const ranked = Array.from(part).filter(function (v) { return !Number.isNaN(z[v]); });
  ranked.sort(function (a, b) {  // of equal ones the first vertex
    const one = extremity(a), other = extremity(b);
    return one > other ? -1 : one < other ? 1 : a - b;
  });
  const n = roi.kind === "top-n" ? threshold
    : Math.max(1, Math.floor(ranked.length * threshold / 100 + 1e-9));
  ranked.slice(0, n).forEach(function (v) { mask[v] = 1; });
  return mask;
}

/* Size and estimate of an ROI in one or two hemispheres; null is missing. */
function measure(halves, members, values, weights, summary, minVertices) {
  if (members.some(function (own) { return own === null; })) { return { size: null, estimate: null }; }
  const size = members.reduce(function (sum, own) { return sum + own.length; }, 0);
  const missing = { size: size, estimate: null };
  if (size < minVertices || values.some(function (of) { return of === null; })) { return missing; }
  const pooled = [], weighted = [], w = [];
  members.forEach(function (own, h) {
    own.forEach(function (v) {
      if (!Number.isFinite(values[h][v])) { return; }
      pooled.push(values[h][v]);
      if (summary === "area-weighted-mean" && weights[h]) {
        w.push(weights[h][v]);
        weighted.push(values[h][v] * weights[h][v]);
      }
    });
  });
  if (!pooled.length) { return missing; }
  if (summary === "median") { return { size: size, estimate: median(pooled) }; }
  if (summary === "mean") { return { size: size, estimate: sum(pooled, 0, pooled.length) / pooled.length }; }
  if (weights.includes(null)) { return missing; }
  return { size: size, estimate: sum(weighted, 0, w.length) / sum(w, 0, w.length) };
}

function median(values) {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/* Pairwise sum, in the order in which NumPy adds. */
function sum(values, from, n) {
  if (n < 8) {
    let total = 0;
    for (let i = from; i < from + n; i++) { total += values[i]; }
    return total;
  }
  if (n > 128) {
    const half = (n >> 1) - (n >> 1) % 8;
    return sum(values, from, half) + sum(values, from + half, n - half);
  }
  const lanes = values.slice(from, from + 8);
  let i = 8;
  for (; i < n - n % 8; i += 8) {
    for (let lane = 0; lane < 8; lane++) { lanes[lane] += values[from + i + lane]; }
  }
  let total = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  for (; i < n; i++) { total += values[from + i]; }
  return total;
}
