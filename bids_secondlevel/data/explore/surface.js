"use strict";

/* One hemisphere on a canvas, by WebGL 2. What is known of vertices and triangles lies in
   textures, so that a pixel can ask for all three corners of its triangle: its colour may be that
   of the nearest vertex, and a filled ROI ends half way between vertices. Outlines are lines along
   the same border, of the same width in pixels wherever they are. */

const ROWS = 1024;  // of a texture: vertices side by side
const MOST_ROIS = 31;

const SHARED = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;
ivec2 at(uint i) { return ivec2(int(i % ${ROWS}u), int(i / ${ROWS}u)); }`;

const SEEN = `
uniform mat3 turn;
uniform vec3 pivot;
uniform vec2 scale;
vec4 seen(vec3 place) {
  vec3 turned = turn * (place - pivot);
  float w = 1.0 - turned.z / 700.0;
  return vec4(turned.xy * scale, -turned.z / 400.0 * w, w);
}`;

const VERTEX = SHARED + SEEN + `
uniform sampler2D places;   // x, y, z in mm, and the grey of the cortex
uniform sampler2D normals;
uniform usampler2D corners;
flat out uvec3 corner;
out vec3 share;
out vec3 normal;
out float grey;
void main() {
  int which = gl_VertexID % 3;
  corner = texelFetch(corners, at(uint(gl_VertexID) / 3u), 0).xyz;
  uint vertex = corner[which];
  share = vec3(which == 0, which == 1, which == 2);
  vec4 place = texelFetch(places, at(vertex), 0);
  normal = turn * texelFetch(normals, at(vertex), 0).xyz;
  grey = place.w;
  gl_Position = seen(place.xyz);
}`;

const FRAGMENT = SHARED + `
uniform sampler2D colours;  // multiplied by their opacity
uniform usampler2D masks;   // a bit for each ROI
uniform vec3 roiColours[${MOST_ROIS}];
uniform int nRois;
uniform uint filled;
uniform bool isSmooth;
uniform bool isPicking;
uniform int picked;
flat in uvec3 corner;
in vec3 share;
in vec3 normal;
in float grey;
out vec4 pixel;
void main() {
  uint nearest = share.x >= share.y && share.x >= share.z ? corner.x : share.y >= share.z ? corner.y : corner.z;
  if (isPicking) {
    uint number = nearest + 1u;
    pixel = vec4(uvec4(number, number >> 8, number >> 16, 255u) & 255u) / 255.0;
    return;
  }
  vec4 map = isSmooth
    ? share.x * texelFetch(colours, at(corner.x), 0) + share.y * texelFetch(colours, at(corner.y), 0)
      + share.z * texelFetch(colours, at(corner.z), 0)
    : texelFetch(colours, at(nearest), 0);
  vec3 colour = vec3(grey) * (1.0 - map.a) + map.rgb;
  uvec3 bits = uvec3(texelFetch(masks, at(corner.x), 0).x, texelFetch(masks, at(corner.y), 0).x,
    texelFetch(masks, at(corner.z), 0).x) & filled;
  int several = 0;
  for (int k = 0; k < nRois; k++) {
    if (dot(share, vec3((bits >> k) & 1u)) > 0.5) {
      colour = several == 0 ? roiColours[k] : mix(colour, vec3(1.0), 0.75);
      several += 1;
    }
  }
  float facing = abs(normalize(normal).z);
  colour = colour * (0.42 + 0.62 * pow(facing, 0.8)) + 0.10 * pow(facing, 24.0);
  if (int(nearest) == picked) { colour = mix(colour, vec3(1.0, 0.0, 0.8), 0.85); }
  pixel = vec4(colour, 1.0);
}`;

const LINE_VERTEX = SHARED + SEEN + `
uniform sampler2D ends;     // of line after line
uniform int first;
uniform vec2 halfWidth;     // in clip coordinates
uniform float before;       // how far before the surface, so that later lines cover earlier ones
void main() {
  uint line = uint(first + gl_VertexID / 6);
  int corner = gl_VertexID % 6;
  vec4 from = seen(texelFetch(ends, at(2u * line), 0).xyz);
  vec4 to = seen(texelFetch(ends, at(2u * line + 1u), 0).xyz);
  vec2 along = (to.xy / to.w - from.xy / from.w) / halfWidth;
  along = length(along) > 1e-6 ? normalize(along) : vec2(1.0, 0.0);
  vec2 across = vec2(-along.y, along.x);
  bool isTo = corner == 1 || corner == 2 || corner == 4;
  float side = corner == 0 || corner == 1 || corner == 3 ? -1.0 : 1.0;
  vec4 end = isTo ? to : from;
  end.xy += (side * across + (isTo ? 0.6 : -0.6) * along) * halfWidth * end.w;
  end.z -= before * end.w;
  gl_Position = end;
}`;

const LINE_FRAGMENT = SHARED + `
uniform vec3 colour;
out vec4 pixel;
void main() { pixel = vec4(colour, 1.0); }`;

function makeSurface(canvas, mesh) {
  const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, preserveDrawingBuffer: true });
  if (!gl) { return null; }
  const surface = twgl.createProgramInfo(gl, [VERTEX, FRAGMENT]);
  const lines = twgl.createProgramInfo(gl, [LINE_VERTEX, LINE_FRAGMENT]);
  const picking = twgl.createFramebufferInfo(gl, [{ internalFormat: gl.RGBA8 }, { format: gl.DEPTH_COMPONENT16 }], 8, 8);
  const texture = function (values, format) {
    const width = ROWS, perPlace = { [gl.RGBA32F]: 4, [gl.RGBA32UI]: 4, [gl.R32UI]: 1, [gl.RGBA8]: 4 }[format];
    const height = Math.max(1, Math.ceil(values.length / perPlace / width));
    const padded = new values.constructor(width * height * perPlace);
    padded.set(values);
    return { width: width, height: height, src: padded, internalFormat: format, minMag: gl.NEAREST, wrap: gl.CLAMP_TO_EDGE };
  };
  const textures = twgl.createTextures(gl, {
    places: texture(mesh.places, gl.RGBA32F),
    normals: texture(mesh.normals, gl.RGBA32F),
    corners: texture(mesh.corners, gl.RGBA32UI),
    colours: texture(new Uint8Array(mesh.places.length), gl.RGBA8),
    masks: texture(new Uint32Array(mesh.places.length / 4), gl.R32UI),
    ends: texture(new Float32Array(8), gl.RGBA32F)
  });
  const nothing = gl.createVertexArray();
  const set = function (name, values, format) {
    const options = texture(values, format);
    twgl.setTextureFromArray(gl, textures[name], options.src, options);
  };
  const render = function (look, isPicking) {
    const [width, height] = [canvas.width, canvas.height];
    const seen = Object.assign({
      isPicking: isPicking,
      scale: [look.zoom * Math.min(1, height / width), look.zoom * Math.min(1, width / height)]
    }, look, textures);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LEQUAL);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.bindVertexArray(nothing);
    gl.useProgram(surface.program);
    twgl.setUniforms(surface, seen);
    gl.drawArrays(gl.TRIANGLES, 0, 3 * mesh.nTriangles);
    if (isPicking) { return; }
    gl.useProgram(lines.program);
    twgl.setUniforms(lines, seen);
    const pixel = Math.max(1, width / 600);
    look.lines.forEach(function (line, place) {
      const half = [line.width * pixel / width, line.width * pixel / height];
      twgl.setUniforms(lines, { first: line.first, halfWidth: half, before: 0.003 + 0.01 * place / look.lines.length, colour: line.colour });
      gl.drawArrays(gl.TRIANGLES, 0, 6 * line.n);
    });
  };
  return {
    paint: function (colours) { set("colours", colours, gl.RGBA8); },
    mask: function (masks) { set("masks", masks, gl.R32UI); },
    line: function (ends) { set("ends", ends, gl.RGBA32F); },
    draw: function (look) {
      twgl.resizeCanvasToDisplaySize(canvas, window.devicePixelRatio);
      gl.bindFramebuffer(gl.FRAMEBUFFER, null);
      gl.viewport(0, 0, canvas.width, canvas.height);
      gl.disable(gl.SCISSOR_TEST);
      render(look, false);
    },
    pick: function (x, y, look) {  // in pixels of the page from the upper left; -1 is nothing
      const column = Math.floor(x * canvas.width / canvas.clientWidth);
      const row = canvas.height - 1 - Math.floor(y * canvas.height / canvas.clientHeight);
      twgl.resizeFramebufferInfo(gl, picking, undefined, canvas.width, canvas.height);
      twgl.bindFramebufferInfo(gl, picking);
      gl.enable(gl.SCISSOR_TEST);
      gl.scissor(column, row, 1, 1);
      render(look, true);
      gl.disable(gl.SCISSOR_TEST);
      const pixel = new Uint8Array(4);
      gl.readPixels(column, row, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
      gl.bindFramebuffer(gl.FRAMEBUFFER, null);
      return pixel[0] + 256 * pixel[1] + 65536 * pixel[2] - 1;
    }
  };
}

/* The border of what is inside, by triangles: ends of lines, x, y, z and nothing. */
function borderOf(mesh, nExplored, isInside) {
  const ends = [], places = mesh.places;
  const halfWay = function (v, w) {
    for (let axis = 0; axis < 3; axis++) { ends.push((places[4 * v + axis] + places[4 * w + axis]) / 2); }
    ends.push(0);
  };
  for (let t = 0; t < mesh.nTriangles; t++) {
    const [a, b, c] = [mesh.corners[4 * t], mesh.corners[4 * t + 1], mesh.corners[4 * t + 2]];
    if (a >= nExplored || b >= nExplored || c >= nExplored) { continue; }
    const [inA, inB, inC] = [isInside[a], isInside[b], isInside[c]];
    if (inA === inB && inB === inC) { continue; }
    const [alone, one, other] = inB === inC ? [a, b, c] : inA === inC ? [b, c, a] : [c, a, b];
    halfWay(alone, one);
    halfWay(alone, other);
  }
  return ends;
}

/* Positions in mm, normals, and the corners of triangles, as textures need them. */
function makeMesh(half) {
  const n = half.positions[0].length, nTriangles = half.triangles[0].length;
  const places = new Float32Array(4 * n), normals = new Float32Array(4 * n), corners = new Uint32Array(4 * nTriangles);
  for (let v = 0; v < n; v++) {
    for (let axis = 0; axis < 3; axis++) {
      places[4 * v + axis] = half.origin[axis] + half.step * half.positions[axis][v];
    }
    places[4 * v + 3] = half.greys ? half.greys[v] / 255 : 0.72;
  }
  for (let t = 0; t < nTriangles; t++) {
    const [a, b, c] = [0, 1, 2].map(function (k) { return half.triangles[k][t]; });
    const side = function (from, to, axis) { return places[4 * to + axis] - places[4 * from + axis]; };
    for (let axis = 0; axis < 3; axis++) {
      const y = (axis + 1) % 3, z = (axis + 2) % 3;
      const along = side(a, b, y) * side(a, c, z) - side(a, b, z) * side(a, c, y);
      [a, b, c].forEach(function (v) { normals[4 * v + axis] += along; });
    }
    corners.set([a, b, c, 0], 4 * t);
  }
  return { places: places, normals: normals, corners: corners, nTriangles: nTriangles };
}
