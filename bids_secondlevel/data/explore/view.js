"use strict";

/* Hemispheres on their canvases, and how they are turned: as mirror images, each around a point of its own. */

const START = { yaw: 0, pitch: 0, zoom: 1 };
const VIEWS = {
  "Start": null,
  "Medial": [90, 0],
  "Behind": [0, 0],
  "Lateral": [-90, 0],
  "Below": [20, -75],
  "Above": [20, 75]
};

/* Axes of the view of a hemisphere: to the right, up, and towards the viewer. */
function axesOf(side, camera) {
  const yaw = camera.yaw * Math.PI / 180, pitch = camera.pitch * Math.PI / 180, mirror = side === "L" ? 1 : -1;
  const towards = [mirror * Math.sin(yaw) * Math.cos(pitch), -Math.cos(yaw) * Math.cos(pitch), Math.sin(pitch)];
  const right = [Math.cos(yaw), mirror * Math.sin(yaw), 0];
  const up = [0, 1, 2].map(function (i) {
    const j = (i + 1) % 3, k = (i + 2) % 3;
    return towards[j] * right[k] - towards[k] * right[j];
  });
  return [right, up, towards];
}

/* Where to look first: at the visual areas, from straight above. */
function lookFirst(halves, meshes) {
  const sum = [0, 0, 0];
  const first = halves.map(function (half, h) {
    const { places, normals } = meshes[h];
    const inside = [];
    half.areaLabels.forEach(function (label, v) { if (label || half.parts.some(function (p) { return p && p.includes(v); })) { inside.push(v); } });
    const mean = function (array, of) {
      return [0, 1, 2].map(function (axis) {
        return of.reduce(function (total, v) { return total + array[4 * v + axis]; }, 0) / of.length;
      });
    };
    const pivot = mean(places, inside), middle = mean(places, Array.from(half.positions[0].keys()));
    const normal = mean(normals, inside);
    const outwards = normal.reduce(function (dot, x, axis) { return dot + x * (pivot[axis] - middle[axis]); }, 0) < 0 ? -1 : 1;
    const length = Math.hypot(...normal) || 1;
    sum[0] += outwards * normal[0] / length * (half.side === "L" ? 1 : -1);
    sum[1] += outwards * normal[1] / length;
    sum[2] += outwards * normal[2] / length;
    const reach = inside.reduce(function (most, v) {
      return Math.max(most, Math.hypot(...[0, 1, 2].map(function (axis) { return places[4 * v + axis] - pivot[axis]; })));
    }, 1);
    return { pivot: pivot, reach: reach };
  });
  START.yaw = Math.atan2(sum[0], -sum[1]) * 180 / Math.PI || 0;
  START.pitch = Math.max(-60, Math.min(60, Math.atan2(sum[2], Math.hypot(sum[0], sum[1])) * 180 / Math.PI || 0));
  START.zoom = 1 / (1.4 * Math.max(...first.map(function (of) { return of.reach; })));
  return first.map(function (of) { return of.pivot; });
}

let isDue = false;

function redraw() {
  if (isDue) { return; }
  isDue = true;
  requestAnimationFrame(function () {
    isDue = false;
    views.forEach(function (view) { view.draw(); });
  });
}

function bits() {
  return state.shown.reduce(function (all, is, k) { return is && k < MOST_ROIS ? (all | 1 << k) >>> 0 : all; }, 0);
}

function makeView(half, mesh, h) {
  const box = make("div", { "class": "half" }, byId("cortex"));
  make("span", { "class": "name" }, box, SIDES[half.side]);
  const canvas = make("canvas", {
    tabindex: 0, role: "img", "data-side": half.side,
    "aria-label": SIDES[half.side] + " hemisphere in three dimensions: arrows turn it, plus and minus zoom, 0 goes back"
  }, box);
  const surface = makeSurface(canvas, mesh);
  if (surface === null) {
    box.replaceChildren();
    make("p", { "class": "problem", role: "alert" }, box, SIDES[half.side] +
      " hemisphere: this browser has no WebGL 2, which draws the surface. The thresholds and the table work without it.");
    return { half: half, surface: null, draw: function () {} };
  }
  const compass = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  compass.setAttribute("viewBox", "-37 -37 74 74");
  compass.setAttribute("aria-hidden", "true");
  box.appendChild(compass);
  const colours = about.rois.slice(0, MOST_ROIS).map(function (roi) {
    return [1, 3, 5].map(function (at) { return parseInt(roi.colour.slice(at, at + 2), 16) / 255; });
  });
  const parts = new Set(half.parts.flatMap(function (part) { return Array.from(part || []); }));
  const fixed = [
    { is: "showsAreas", width: 1.2, colour: [1, 1, 1], ends: outlineAreas(half, mesh) },
    { is: "showsPart", width: 2.2, colour: [0.05, 0.05, 0.05], ends: outline(mesh, half, parts) }
  ];
  let lines = [];
  /* Every line of the picture, in the order in which they are drawn. */
  const listLines = function (members) {
    const rois = colours.map(function (colour, k) {
      return { roi: k, width: 2.4, colour: colour, ends: outline(mesh, half, members[k] || []) };
    });
    let first = 0;
    lines = fixed.concat(rois).map(function (line) {
      const n = line.ends.length / 8;
      first += n;
      return Object.assign({ n: n, first: first - n }, line);
    });
    surface.line(Float32Array.from(lines.flatMap(function (line) { return line.ends; })));
  };
  const linesToDraw = function () {
    return lines.filter(function (line) {
      return line.is ? state[line.is] : state.shown[line.roi];
    }).flatMap(function (line) {
      return line.is ? [line] : [Object.assign({}, line, { width: 4.2, colour: [0.05, 0.05, 0.05] }), line];
    });
  };
  const look = function () {
    const [right, up, towards] = axesOf(half.side, state.camera);
    const isHere = state.picked !== null && state.picked.half === half;
    return {
      turn: [0, 1, 2].flatMap(function (axis) { return [right[axis], up[axis], towards[axis]]; }),
      pivot: pivots[h], zoom: state.camera.zoom, roiColours: colours.flat(), nRois: colours.length,
      filled: state.isFilled ? bits() : 0, lines: linesToDraw(), isSmooth: state.isSmooth,
      picked: isHere ? state.picked.v : -1
    };
  };
  const draw = function () {
    surface.draw(look());
    drawCompass(compass, half.side);
  };
  listen(canvas, half, h, function (x, y) { return surface.pick(x, y, look()); });
  const showRois = function (members) {
    surface.mask(bitsOf(half, members));
    listLines(members);
  };
  return { half: half, surface: surface, draw: draw, showRois: showRois };
}

function drawCompass(compass, side) {
  const [right, up] = axesOf(side, state.camera);
  const lateral = side === "L" ? -1 : 1;
  const ends = { A: [right[1], up[1]], D: [right[2], up[2]], L: [lateral * right[0], lateral * up[0]] };
  compass.replaceChildren();
  for (const [letter, [x, y]] of Object.entries(ends)) {
    const length = Math.hypot(x, y);
    if (length < 0.3) { continue; }
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
    for (const [name, value] of [["x1", 0], ["y1", 0], ["x2", 22 * x], ["y2", -22 * y]]) { line.setAttribute(name, value); }
    text.setAttribute("x", (22 + 8 / length) * x);
    text.setAttribute("y", -(22 + 8 / length) * y);
    text.textContent = letter;
    compass.append(line, text);
  }
}

function turn(yaw, pitch) {
  state.camera.yaw += yaw;
  state.camera.pitch = Math.max(-89, Math.min(89, state.camera.pitch + pitch));
  redraw();
}

function zoom(factor) {
  state.camera.zoom = Math.max(START.zoom / 6, Math.min(START.zoom * 12, state.camera.zoom * factor));
  redraw();
}

function lookFrom(angles) {
  Object.assign(state.camera, START);
  if (angles) { [state.camera.yaw, state.camera.pitch] = angles; }
  home.forEach(function (pivot, h) { pivots[h] = pivot.slice(); });
  redraw();
}

function listen(canvas, half, h, pick) {
  const mirror = half.side === "L" ? 1 : -1;
  const fingers = new Map();
  let moved = 0, spread = 0;
  const at = function (event) {
    const box = canvas.getBoundingClientRect();
    return pick(event.clientX - box.left, event.clientY - box.top);
  };
  canvas.addEventListener("pointerdown", function (event) {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    moved = spread = 0;
  });
  canvas.addEventListener("pointermove", function (event) {
    const before = fingers.get(event.pointerId);
    if (!before) {
      if (!state.isKept) { point(half, at(event), false); }
      return;
    }
    const [dx, dy] = [event.clientX - before[0], event.clientY - before[1]];
    fingers.set(event.pointerId, [event.clientX, event.clientY]);
    moved += Math.abs(dx) + Math.abs(dy);
    if (fingers.size === 1) {
      turn(-mirror * 0.4 * dx, 0.4 * dy);
    } else {
      const [one, other] = fingers.values();
      const apart = Math.hypot(one[0] - other[0], one[1] - other[1]);
      if (spread) { zoom(apart / spread); }
      spread = apart;
    }
  });
  const release = function (event) {
    if (fingers.delete(event.pointerId) && event.type === "pointerup" && moved < 4) { point(half, at(event), true); }
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", function () { if (!state.isKept) { point(null, -1, false); } });
  canvas.addEventListener("wheel", function (event) {
    event.preventDefault();
    zoom(Math.exp(-0.0015 * event.deltaY));
  }, { passive: false });
  canvas.addEventListener("dblclick", function (event) {
    const v = at(event);
    if (v >= 0) { pivots[h] = Array.from(meshes[h].places.slice(4 * v, 4 * v + 3)); redraw(); }
  });
  canvas.addEventListener("keydown", function (event) {
    const actions = {
      ArrowLeft: function () { turn(mirror * 6, 0); }, ArrowRight: function () { turn(-mirror * 6, 0); },
      ArrowUp: function () { turn(0, -6); }, ArrowDown: function () { turn(0, 6); },
      "+": function () { zoom(1.2); }, "=": function () { zoom(1.2); }, "-": function () { zoom(1 / 1.2); },
      "0": function () { lookFrom(null); }
    };
    if (actions[event.key] && !event.ctrlKey && !event.metaKey) { event.preventDefault(); actions[event.key](); }
  });
}

/* Both hemispheres side by side on white. */
function savePicture() {
  views.forEach(function (view) { view.draw(); });
  const drawnOn = Array.from(document.querySelectorAll("#cortex canvas"));
  const flat = make("canvas", {
    width: drawnOn.reduce(function (total, of) { return total + of.width; }, 0),
    height: Math.max(0, ...drawnOn.map(function (of) { return of.height; }))
  });
  const pen = flat.getContext("2d");
  pen.fillStyle = "white";
  pen.fillRect(0, 0, flat.width, flat.height);
  drawnOn.reduce(function (left, of) { pen.drawImage(of, left, 0); return left + of.width; }, 0);
  make("a", { href: flat.toDataURL(), download: about.file + "_cortex.png" }).click();
}
