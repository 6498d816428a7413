"use strict";

/* What surfaces show: colours of the map, and the ROIs with their outlines. */

function areaColour(label) {
  const hue = (Number(label) * 137.5 + 60) % 360, x = function (n) {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.6 - 0.26 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [x(0), x(8), x(4)];
}

/* Tells which vertices a layer paints paler: those whose z does not pass the threshold of the first
   ROI that takes the contrast, or whose p is not below 0.05. */
function fading(layer, half) {
  if (layer.p_values.length) {
    const maps = layer.p_values.map(half.get);
    return function (v) {
      const found = maps.find(function (p) { return p && !Number.isNaN(p[v]); });
      return !(found && found[v] < 0.05);
    };
  }
  const rule = ruleOf(layer);
  if (rule === null) { return function () { return false; }; }
  const z = half.get(layer.array);
  return function (v) {
    const size = { "greater": z[v], "less": -z[v], "two-sided": Math.abs(z[v]) }[rule.tail];
    return !(size > rule.threshold);
  };
}

function ruleOf(layer) {
  const k = about.rois.findIndex(function (roi) { return roi.kind === "z" && roi.contrasts.includes(layer.localizer); });
  return k < 0 ? null : { tail: about.rois[k].tail, threshold: state.thresholds[k] };
}

function paint(half, layer) {
  const values = half.get(layer.array), painted = new Uint8Array(4 * half.positions[0].length);
  if (values === null) { return painted; }
  const isFaded = fading(layer, half), scale = colours[layer.colours];
  for (let v = 0; v < values.length; v++) {
    if (Number.isNaN(values[v]) || ((layer.is_share || !scale) && values[v] === 0)) { continue; }
    const share = (values[v] - layer.ends[0]) / (layer.ends[1] - layer.ends[0]);
    const place = 3 * Math.max(0, Math.min(255, Math.floor(256 * share)));
    const colour = scale ? scale.subarray(place, place + 3) : areaColour(values[v]);
    const opacity = isFaded(v) ? 0.3 : 1;
    painted.set([opacity * colour[0], opacity * colour[1], opacity * colour[2], 255 * opacity], 4 * v);
  }
  return painted;
}

/* A bit for each ROI that a vertex is in. */
function bitsOf(half, members) {
  const bits = new Uint32Array(half.positions[0].length);
  members.slice(0, MOST_ROIS).forEach(function (own, k) {
    (own || []).forEach(function (v) { bits[v] |= 1 << k; });
  });
  return bits;
}

/* Lines around what some vertices have in common. */
function outline(mesh, half, vertices) {
  const isInside = new Uint8Array(half.vertices.length);
  vertices.forEach(function (v) { isInside[v] = 1; });
  return borderOf(mesh, half.vertices.length, isInside);
}

function outlineAreas(half, mesh) {
  return Object.keys(about.areaNames).flatMap(function (label) {
    const own = [];
    half.areaLabels.forEach(function (of, v) { if (of === Number(label)) { own.push(v); } });
    return outline(mesh, half, own);
  });
}
