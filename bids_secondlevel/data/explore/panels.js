"use strict";

/* What is beside the cortex: values, scales, tables, sliders and other controls. */

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

/* Buttons, choices and boxes; sliders are added by listThresholds. */
function addControls() {
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
  if (about.measured.length) {
    choose("contrast", about.measured.map(function (contrast, k) {
      return { value: k, name: contrast };
    }), state.contrast, function (value) { state.contrast = Number(value); showNumbers(); });
  }
  choose("side", halves.map(function (half) { return { value: half.side, name: SIDES[half.side] }; }), halves[0].side, goToVertex);
  byId("vertex").addEventListener("change", goToVertex);
  about.rois.forEach(function (roi, k) {
    check(byId("rois"), roi.name, true, function (is) { state.shown[k] = is; }, roi.colour);
  });
  const marks = {
    isFilled: "filled",
    showsPart: about.kind === "group" ? "retinotopic region (black)" : "retinotopy mask (black)",
    showsAreas: "borders of visual areas (white)",
    isSmooth: "smooth between vertices"
  };
  for (const [name, text] of Object.entries(marks)) {
    check(byId("marks"), text, state[name], function (is) { state[name] = is; });
  }
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

function goToVertex() {
  if (byId("vertex").value === "") { return; }
  const half = halves.find(function (of) { return of.side === byId("side").value; });
  const v = half.vertices.indexOf(Number(byId("vertex").value));
  point(half, v, true);
  if (v < 0) { byId("place").textContent = "This vertex is not near the visual areas."; }
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
  const rule = ruleOf(layer);
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
    byId("caption").textContent = about.kind === "group" ? "Sizes that differ from those at 50 % are in another colour." : "";
    return;
  }
  const marks = new Set(about.rois.map(function (_, k) {
    return (["both", "L", "R"].map(function (hemi) { return about.found.estimates[k + "." + state.contrast + "." + hemi]; }).find(Boolean) || [])[2];
  }));
  const what = { "mean": "Means", "median": "Medians", "area-weighted-mean": "Means weighted by area" }[about.summary];
  byId("caption").textContent = what + " in " + about.units + ". Values that differ from the run are in another colour." +
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
      defineAll();
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
