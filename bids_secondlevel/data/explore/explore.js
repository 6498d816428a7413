"use strict";

/* The page: what it has, what is chosen, and what happens then. */

const about = JSON.parse(byId("about").textContent);
const SIDES = { L: "Left", R: "Right" };
const SULCI = { name: "None: sulci", heading: "Anatomy", array: "none", colours: "", p_values: [] };

/* All that the page has: hemispheres with their values, layers by the array they show, and what is chosen. */
let halves, colours, layers, state;
/* Of the hemispheres that are drawn: meshes, the points they turn around now and at first, and views. */
let meshes, pivots, home, views;

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

function repaint() {
  views.forEach(function (view) { if (view.surface) { view.surface.paint(paint(view.half, layers[state.layer])); } });
  showScale(layers[state.layer]);
  redraw();
}

function defineAll() {
  state.members = halves.map(function (half) { return defineRois(half, about.rois, state.thresholds); });
  views.forEach(function (view) {
    if (view.surface) { view.showRois(state.members[halves.indexOf(view.half)]); }
  });
  if (layers[state.layer].localizer !== null) { repaint(); }
  showNumbers();
  showValues();
  redraw();
}

async function start() {
  const arrays = unpack(about.directory, await inflate(byId("arrays").textContent));
  halves = about.hemispheres.map(function (said) { return gather(said, arrays); });
  const drawn = halves.filter(function (half) { return half.positions[0] !== null; });
  colours = { viridis: arrays["colours.viridis"], twilight: arrays["colours.twilight"], RdBu_r: arrays["colours.RdBu_r"] };
  layers = Object.fromEntries(about.layers.concat(SULCI).map(function (layer) { return [layer.array, layer]; }));
  state = {
    layer: about.first,
    thresholds: about.rois.map(function (roi) { return roi.threshold; }),
    shown: about.rois.map(function () { return true; }),
    members: [], contrast: 0, isFilled: false, showsAreas: true, showsPart: true, isSmooth: true,
    picked: null, camera: null
  };
  meshes = drawn.map(makeMesh);
  pivots = lookFirst(drawn, meshes);
  home = pivots.map(function (pivot) { return pivot.slice(); });
  state.camera = Object.assign({}, START);

  views = drawn.map(function (half, h) { return makeView(half, meshes[h], h); });
  addControls();
  listThresholds();
  defineAll();
  repaint();
  addEventListener("resize", redraw);
  document.body.dataset.ready = "yes";
}

start().catch(function (error) {
  make("p", { "class": "problem", role: "alert" }, byId("cortex"),
    "The cortex cannot be shown in this browser: " + error.message + ". A browser of 2023 or later does.");
  throw error;
});
