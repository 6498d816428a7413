"use strict";

/* What the controls of the page do. */

const about = JSON.parse(document.getElementById("about").textContent);
const SIDES = { L: "Left", R: "Right" };
const SULCI = { name: "None: sulci", heading: "Anatomy", array: "none", colours: "", p_values: [] };
const START = { yaw: 0, pitch: 0, zoom: 1 };
const VIEWS = {
  "Start": null,
  "Medial": [90, 0],
  "Behind": [0, 0],
  "Lateral": [-90, 0],
  "Below": [20, -75],
  "Above": [20, 75]
};

function make(tag, properties, parent, text) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) { element.setAttribute(name, value); }
  if (text !== undefined) { element.textContent = text; }
  if (parent) { parent.appendChild(element); }
  return element;
}

function byId(name) { return document.getElementById(name); }

/* As on the other pages: four significant digits. */
function shown(value) {
  if (value === null || value === undefined || Number.isNaN(value)) { return "n/a"; }
  if (!Number.isFinite(value)) { return value > 0 ? "inf" : "-inf"; }
  if (Number.isInteger(value)) { return String(value); }
  return Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)));
}

function threeDigits(value) { return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : shown(value); }

/* What is known of a hemisphere, by name, from the arrays of the page. */
function gather(said, arrays) {
  const get = function (name) { return arrays[said.side + "." + name] || null; };
  const several = function (name, of) { return of.map(function (_, k) { return get(name + "." + k); }); };
  const triple = [0, 1, 2];
  const places = function (mask) {
    const found = [];
    if (mask) { mask.forEach(function (is, v) { if (is) { found.push(v); } }); }
    return mask && Uint32Array.from(found);
  };
  return {
    side: said.side, origin: said.origin, step: said.step, get: get,
    vertices: get("vertices"), positions: several("positions", triple), triangles: several("triangles", triple),
    greys: get("greys"), areaLabels: get("areaLabels"), areas: get("areas"),
    z: several("z", about.localizer), measured: several("measured", about.measured),
    parts: several("part", about.rois).map(places), localized: several("localized", about.rois),
    shares: several("share", about.rois)
  };
}

function areaColour(label) {
  const hue = (Number(label) * 137.5 + 60) % 360, x = function (n) {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.6 - 0.26 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [x(0), x(8), x(4)];
}

/* Tells which vertices a layer paints paler: those whose z does not pass the threshold of the first
   ROI that takes the contrast, or whose p is not below 0.05. */
function fading(layer, half, state) {
  if (layer.p_values.length) {
    const maps = layer.p_values.map(half.get);
    return function (v) {
      const found = maps.find(function (p) { return p && !Number.isNaN(p[v]); });
      return !(found && found[v] < 0.05);
    };
  }
  const rule = ruleOf(layer, state);
  if (rule === null) { return function () { return false; }; }
  const z = half.get(layer.array);
  return function (v) {
    const size = { "greater": z[v], "less": -z[v], "two-sided": Math.abs(z[v]) }[rule.tail];
    return !(size > rule.threshold);
  };
}

function ruleOf(layer, state) {
  const k = about.rois.findIndex(function (roi) { return roi.kind === "z" && roi.contrasts.includes(layer.localizer); });
  return k < 0 ? null : { tail: about.rois[k].tail, threshold: state.thresholds[k] };
}

function paint(half, layer, state, colours) {
  const values = half.get(layer.array), painted = new Uint8Array(4 * half.positions[0].length);
  if (values === null) { return painted; }
  const isFaded = fading(layer, half, state), scale = colours[layer.colours];
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

async function start() {
  const arrays = unpack(about.directory, await inflate(byId("arrays").textContent));
  const halves = about.hemispheres.map(function (said) { return gather(said, arrays); });
  const drawn = halves.filter(function (half) { return half.positions[0] !== null; });
  const colours = { viridis: arrays["colours.viridis"], twilight: arrays["colours.twilight"], RdBu_r: arrays["colours.RdBu_r"] };
  const layers = Object.fromEntries(about.layers.concat(SULCI).map(function (layer) { return [layer.array, layer]; }));
  const state = {
    layer: about.first,
    thresholds: about.rois.map(function (roi) { return roi.threshold; }),
    shown: about.rois.map(function () { return true; }),
    members: [], contrast: 0, isFilled: false, showsAreas: true, showsPart: true, isSmooth: true,
    picked: null, camera: null
  };
  const meshes = drawn.map(makeMesh);
  const pivots = lookFirst(drawn, meshes);
  const home = pivots.map(function (pivot) { return pivot.slice(); });
  state.camera = Object.assign({}, START);

  const views = drawn.map(function (half, h) { return makeView(half, meshes[h], h); });
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

  /* Show what is known of a vertex; a place beyond those that are explored has nothing to show. */
  function point(half, v, isKept) {
    const isThere = half !== null && v >= 0 && v < half.vertices.length;
    state.isKept = isKept && isThere;
    state.picked = isThere ? { half: half, v: v } : null;
    redraw();
    if (isThere) {
      byId("side").value = half.side;
      byId("vertex").value = half.vertices[v];
    }
    byId("place").textContent = isThere ? (state.isKept ? "Kept. Click beside the cortex to let it go." : "")
      : v >= 0 ? "Far from the visual areas. Fewer vertices are drawn here." : "Point at the cortex. Click to keep a vertex.";
    showValues();
  }

  function showValues() {
    const list = byId("values");
    list.replaceChildren();
    if (state.picked === null) { return; }
    const { half, v } = state.picked;
    const names = about.rois.filter(function (_, k) {
      const own = state.members[halves.indexOf(half)][k];
      return own !== null && own.includes(v);
    }).map(function (roi) { return roi.name; });
    const said = [["ROI", names.join(", ") || "none"]];
    about.layers.forEach(function (layer) {
      const values = half.get(layer.array);
      if (layer.array === "areaLabels") {
        said.unshift(["Visual area", values[v] ? about.areaNames[values[v]] || String(values[v]) : "none"]);
      } else if (values && !Number.isNaN(values[v])) {
        said.push([layer.name, threeDigits(values[v]) + layer.suffix]);
      }
    });
    said.forEach(function (pair) {
      const box = make("div", {}, list);
      make("dt", {}, box, pair[0]);
      make("dd", {}, box, pair[1]);
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

  function repaint() {
    views.forEach(function (view) { if (view.surface) { view.surface.paint(paint(view.half, layers[state.layer], state, colours)); } });
    showScale(layers[state.layer]);
    redraw();
  }

  function define() {
    state.members = halves.map(function (half) { return defineRois(half, about.rois, state.thresholds); });
    views.forEach(function (view) {
      if (view.surface) { view.showRois(state.members[halves.indexOf(view.half)]); }
    });
    if (layers[state.layer].localizer !== null) { repaint(); }
    showNumbers();
    showValues();
    redraw();
  }

  function showScale(layer) {
    const box = byId("scale");
    box.replaceChildren();
    const scale = colours[layer.colours];
    if (!scale) {
      if (layer.array !== "areaLabels") { return; }
      const list = make("div", { "class": "checks" }, box);
      for (const [label, name] of Object.entries(about.areaNames)) {
        const item = make("span", { "class": "check" }, list);
        make("span", { "class": "swatch" }, item).style.background = "rgb(" + areaColour(label).join(",") + ")";
        make("span", {}, item, name);
      }
      return;
    }
    const stops = [];
    for (let i = 0; i <= 32; i++) {
      const at = 3 * Math.min(255, 8 * i);
      stops.push("rgb(" + scale.slice(at, at + 3).join(",") + ")");
    }
    if (layer.is_wheel) {
      const wheel = make("div", { "class": "wheel" }, box);
      make("span", {}, wheel, "upper").style.gridArea = "1 / 2";
      make("span", {}, wheel, "left").style.gridArea = "2 / 1";
      make("div", { "class": "disc" }, wheel).style.background = "conic-gradient(from 180deg, " + stops.join(",") + ")";
      make("span", {}, wheel, "right visual field").style.gridArea = "2 / 3";
      make("span", {}, wheel, "lower").style.gridArea = "3 / 2";
      return;
    }
    const bar = make("div", { "class": "colours" }, box);
    bar.style.background = "linear-gradient(to right, " + stops.join(",") + ")";
    const rule = ruleOf(layer, state);
    if (rule !== null) {
      const z = rule.threshold, limits = { "greater": [z], "less": [-z], "two-sided": [-z, z] }[rule.tail];
      limits.filter(function (z) { return Math.abs(z) < layer.ends[1]; }).forEach(function (z) {
        make("span", { "class": "mark" }, bar).style.left = 100 * (z - layer.ends[0]) / (layer.ends[1] - layer.ends[0]) + "%";
      });
    }
    const ticks = make("div", { "class": "ticks" }, box);
    [layer.ends[0], (layer.ends[0] + layer.ends[1]) / 2, layer.ends[1]].forEach(function (tick) {
      make("span", {}, ticks, shown(tick));
    });
    const paler = rule !== null ? "paler if it does not pass the threshold" : layer.said;
    make("p", { "class": "hint" }, box, [layer.unit, paler].filter(Boolean).join("; "));
  }

  function showNumbers() {
    const body = byId("numbers").tBodies[0];
    body.replaceChildren();
    const minus = function (text) { return text.replace("-", "\u2212"); };
    about.rois.forEach(function (roi, k) {
      ["L", "R", "both"].forEach(function (hemi) {
        const chosen = (hemi === "both" ? ["L", "R"] : [hemi]).map(function (side) {
          return halves.findIndex(function (half) { return half.side === side; });
        });
        const isThere = !chosen.includes(-1);
        const now = isThere ? measure(
          chosen.map(function (h) { return halves[h]; }),
          chosen.map(function (h) { return state.members[h][k]; }),
          chosen.map(function (h) { return about.measured.length ? halves[h].measured[state.contrast] : null; }),
          chosen.map(function (h) { return halves[h].areas; }),
          about.summary, roi.min_vertices
        ) : { size: null, estimate: null };
        const row = make("tr", { "class": hemi, "data-roi": roi.name, "data-hemi": hemi }, body);
        if (hemi === "L") {
          const head = make("th", { "class": "roi", scope: "rowgroup", rowspan: 3 }, row);
          const name = make("span", { "class": "check" }, head);
          make("span", { "class": "swatch" }, name).style.background = roi.colour;
          make("span", {}, name, roi.name);
        }
        make("td", { "class": "hemi" }, row, hemi);
        const size = about.found.sizes[k + "." + hemi];
        const [estimate, status, independence] = about.found.estimates[k + "." + state.contrast + "." + hemi] || [null, "", ""];
        const cell = function (value, name, title) {
          const made = make("td", { "class": name, "data-v": value === null || value === undefined ? "n/a" : String(value) }, row, minus(shown(value)));
          if (title) { made.title = title; }
        };
        cell(now.size, now.size === size ? "" : "changed");
        cell(size, "run");
        if (!about.measured.length) { return; }
        cell(now.estimate, now.estimate === estimate ? "" : "changed");
        cell(estimate, "run", [status === "ok" ? "" : status, independence === "independent" ? "" : independence].filter(Boolean).join(", "));
      });
    });
    if (!about.measured.length) {
      byId("caption").textContent = about.kind === "group" ? "What differs from at least half of the participants is in another colour." : "";
      return;
    }
    const marks = new Set(about.rois.map(function (_, k) {
      return (["both", "L", "R"].map(function (hemi) { return about.found.estimates[k + "." + state.contrast + "." + hemi]; }).find(Boolean) || [])[2];
    }));
    const what = { "mean": "Means", "median": "Medians", "area-weighted-mean": "Means weighted by area" }[about.summary];
    byId("caption").textContent = what + " in " + about.units + ". What differs from the run is in another colour." +
      (marks.has("circular") ? " This contrast is circular: it was measured on the data that define ROIs." : "") +
      (marks.has("crossvalidated") ? " Estimates of the run are cross-validated; those of this page are circular." : "");
  }

  /* One slider for all ROIs with the same rule and threshold. */
  function listThresholds() {
    const box = byId("thresholds"), groups = new Map();
    about.rois.forEach(function (roi, k) {
      if (roi.kind !== "share" && !roi.contrasts.length) { return; }
      const key = roi.kind + " " + roi.tail + " " + roi.threshold;
      groups.set(key, (groups.get(key) || []).concat(k));
    });
    box.hidden = groups.size === 0;
    let number = 0;
    for (const members of groups.values()) {
      const roi = about.rois[members[0]];
      const names = members.map(function (k) { return about.rois[k].name; }).join(", ");
      const row = make("div", { "class": "threshold" }, box);
      if (roi.kind === "fdr") {
        make("label", {}, row, names + ": " + roi.in_words + ". This rule has no slider. The ROIs are those of the run.");
        continue;
      }
      const id = "threshold" + number++;
      const what = {
        "z": { "greater": "z above", "less": "z below minus", "two-sided": "|z| above" }[roi.tail],
        "share": "vertices in the ROI of at least this share of the participants",
        "top-n": "vertices with the most extreme z in each hemisphere",
        "top-percent": "per cent of the vertices with the most extreme z in each hemisphere"
      }[roi.kind];
      make("label", { "for": id }, row, names + ": " + what);
      const limits = rangeOf(roi, members);
      const slider = make("input", Object.assign({ type: "range", id: id, "aria-describedby": id + "run" }, limits), row);
      const exact = make("input", { type: "number", step: "any", "aria-label": "Threshold of " + names }, row);
      const back = make("button", { type: "button", "aria-label": "First threshold of " + names }, row, "Reset");
      make("span", { "class": "hint", id: id + "run", style: "grid-column: 1 / -1" }, row, (about.kind === "group" ? "At first: " : "In the run: ") + roi.in_words + ".");
      const apply = function (value) {
        if (!Number.isFinite(value)) { return; }
        if (roi.kind === "share") { value = Math.max(0.01, Math.min(1, value)); }
        if (roi.kind === "top-n") { value = Math.max(1, Math.round(value)); }
        members.forEach(function (k) { state.thresholds[k] = value; });
        slider.value = exact.value = value;
        exact.value = value;
        define();
      };
      slider.value = exact.value = roi.threshold;
      slider.addEventListener("input", function () { apply(Number(slider.value)); });
      exact.addEventListener("change", function () { apply(exact.value === "" ? roi.threshold : Number(exact.value)); });
      back.addEventListener("click", function () { apply(roi.threshold); });
    }
  }

  function rangeOf(roi, members) {
    if (roi.kind === "share") { return { min: 0.01, max: 1, step: 0.01 }; }
    if (roi.kind === "top-percent") { return { min: 0.5, max: 100, step: 0.5 }; }
    const inParts = members.flatMap(function (k) { return halves.map(function (half) { return half.parts[k] || []; }); });
    if (roi.kind === "top-n") {
      const most = Math.max(1, ...inParts.map(function (part) { return part.length; }));
      return { min: 1, max: most, step: 1 };
    }
    const ends = about.layers.filter(function (layer) { return layer.localizer !== null; }).map(function (layer) { return layer.ends[1]; });
    const most = Math.ceil(Math.max(6, 1.5 * roi.threshold, ...ends));
    return { min: Math.min(0, Math.floor(roi.threshold)), max: most, step: 0.01 };
  }

  function choose(id, options, value, change) {
    const select = byId(id), groups = {};
    options.forEach(function (option) {
      if (option.group && !groups[option.group]) { groups[option.group] = make("optgroup", { label: option.group }, select); }
      make("option", { value: option.value }, groups[option.group] || select, option.name);
    });
    select.value = value;
    select.addEventListener("change", function () { change(select.value); });
  }

  function check(parent, text, isOn, change, colour) {
    const label = make("label", { "class": "check" }, parent);
    const box = make("input", { type: "checkbox" }, label);
    box.checked = isOn;
    if (colour) { make("span", { "class": "swatch" }, label).style.background = colour; }
    make("span", {}, label, text);
    box.addEventListener("change", function () { change(box.checked); redraw(); });
  }

  byId("surfaces").textContent = about.surfaces.join(" ");
  for (const [name, angles] of Object.entries(VIEWS)) {
    make("button", { type: "button" }, byId("views"), name).addEventListener("click", function () { lookFrom(angles); });
  }
  [["+", "Zoom in", 1.25], ["\u2212", "Zoom out", 0.8]].forEach(function (of) {
    make("button", { type: "button", "aria-label": of[1] }, byId("views"), of[0]).addEventListener("click", function () { zoom(of[2]); });
  });
  make("button", { type: "button" }, byId("views"), "Save picture (PNG)").addEventListener("click", savePicture);
  choose("layer", Object.values(layers).map(function (layer) {
    return { value: layer.array, name: layer.name, group: layer.heading };
  }), state.layer, function (value) { state.layer = value; repaint(); });
  if (about.measured.length) { choose("contrast", about.measured.map(function (contrast, k) {
    return { value: k, name: contrast };
  }), state.contrast, function (value) { state.contrast = Number(value); showNumbers(); }); }
  choose("side", halves.map(function (half) { return { value: half.side, name: SIDES[half.side] }; }), halves[0].side, goToVertex);
  byId("vertex").addEventListener("change", goToVertex);
  function goToVertex() {
    if (byId("vertex").value === "") { return; }
    const half = halves.find(function (of) { return of.side === byId("side").value; });
    const v = half.vertices.indexOf(Number(byId("vertex").value));
    point(half, v, true);
    if (v < 0) { byId("place").textContent = "This vertex is not near the visual areas."; }
  }
  about.rois.forEach(function (roi, k) {
    check(byId("rois"), roi.name, true, function (is) { state.shown[k] = is; }, roi.colour);
  });
  check(byId("marks"), "filled", state.isFilled, function (is) { state.isFilled = is; });
  check(byId("marks"), about.kind === "group" ? "retinotopic region (black)" : "retinotopy mask (black)", state.showsPart, function (is) { state.showsPart = is; });
  check(byId("marks"), "borders of visual areas (white)", state.showsAreas, function (is) { state.showsAreas = is; });
  check(byId("marks"), "smooth between vertices", state.isSmooth, function (is) { state.isSmooth = is; });
  listThresholds();
  define();
  repaint();
  addEventListener("resize", redraw);
  document.body.dataset.ready = "yes";
}

start().catch(function (error) {
  make("p", { "class": "problem", role: "alert" }, byId("cortex"),
    "The cortex cannot be shown in this browser: " + error.message + ". A browser of 2023 or later does.");
  throw error;
});
