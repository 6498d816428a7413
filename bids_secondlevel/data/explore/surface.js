"use strict";

/* One hemisphere on a canvas, by WebGL 2. What is known of vertices and triangles lies in
   textures, so that a pixel can ask for all three corners of its triangle: colours may be those
   of the nearest vertex, and outlines run half way between vertices. */

const ROWS = 1024;  // of a texture: vertices side by side
const FETCH = "ivec2 at(uint i) { return ivec2(int(i % 1024u), int(i / 1024u)); }";
const MOST_ROIS = 31;

const VERTEX = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;
uniform sampler2D places;   // x, y, z in mm, and the grey of the cortex
uniform sampler2D normals;
uniform usampler2D corners;
uniform mat3 turn;
uniform vec3 pivot;
uniform vec2 scale;
flat out uvec3 corner;
out vec3 share;
out vec3 normal;
out float grey;
${FETCH}
void main() {
  uint triangle = uint(gl_VertexID) / 3u;
  int which = gl_VertexID % 3;
  corner = texelFetch(corners, at(triangle), 0).xyz;
  uint vertex = corner[which];
  share = vec3(which == 0, which == 1, which == 2);
  vec4 place = texelFetch(places, at(vertex), 0);
  vec3 seen = turn * (place.xyz - pivot);
  normal = turn * texelFetch(normals, at(vertex), 0).xyz;
  grey = place.w;
  float w = 1.0 - seen.z / 700.0;
  gl_Position = vec4(seen.xy * scale, -seen.z / 400.0 * w, w);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp usampler2D;
uniform sampler2D colours;
uniform usampler2D masks;   // a bit for each ROI, the last one for the retinotopic parts; the area
uniform vec3 roiColours[${MOST_ROIS}];
uniform int nRois;
uniform uint filled;
uniform uint outlined;
uniform bool showsAreas;
uniform bool showsPart;
uniform bool isSmooth;
uniform bool isPicking;
uniform int picked;
uniform float line;         // width in pixels
flat in uvec3 corner;
in vec3 share;
in vec3 normal;
in float grey;
out vec4 pixel;
${FETCH}
float inside(uvec3 bits, uint bit) { return dot(share, vec3((bits >> bit) & 1u)); }
float edge(float f, float width) {
  float slope = fwidth(f);
  return slope > 0.0 ? 1.0 - smoothstep(width - 0.5, width + 0.5, abs(f - 0.5) / slope) : 0.0;
}
void main() {
  bvec2 first = bvec2(share.x >= share.y && share.x >= share.z, share.y >= share.z);
  uint nearest = first.x ? corner.x : first.y ? corner.y : corner.z;
  if (isPicking) {
    uint number = nearest + 1u;
    pixel = vec4(uvec4(number, number >> 8, number >> 16, 255u) & 255u) / 255.0;
    return;
  }
  uvec2 a = texelFetch(masks, at(corner.x), 0).xy;
  uvec2 b = texelFetch(masks, at(corner.y), 0).xy;
  uvec2 c = texelFetch(masks, at(corner.z), 0).xy;
  uvec3 bits = uvec3(a.x, b.x, c.x), areas = uvec3(a.y, b.y, c.y);
  vec4 map = isSmooth
    ? share.x * texelFetch(colours, at(corner.x), 0) + share.y * texelFetch(colours, at(corner.y), 0)
      + share.z * texelFetch(colours, at(corner.z), 0)
    : texelFetch(colours, at(nearest), 0);
  vec3 colour = vec3(grey) * (1.0 - map.a) + map.rgb;  // multiplied by their opacity already
  int several = 0;
  for (int k = 0; k < ${MOST_ROIS}; k++) {
    if (k >= nRois) { break; }
    if (((filled >> k) & 1u) == 1u && inside(bits, uint(k)) > 0.5) {
      colour = several == 0 ? roiColours[k] : mix(colour, vec3(1.0), 0.75);
      several += 1;
    }
  }
  float facing = abs(normalize(normal).z);
  colour *= 0.42 + 0.62 * pow(facing, 0.8);
  colour += 0.10 * pow(facing, 24.0);
  if (showsAreas) {
    uint area = first.x ? areas.x : first.y ? areas.y : areas.z;
    float same = dot(share, vec3(equal(areas, uvec3(area))));
    float here = edge(same, 0.5 * line);
    bool isBorder = areas.x != areas.y || areas.y != areas.z;
    if (isBorder) { colour = mix(colour, vec3(1.0), 0.9 * here); }
  }
  if (showsPart) { colour = mix(colour, vec3(0.05), edge(inside(bits, 31u), 0.75 * line)); }
  for (int k = 0; k < ${MOST_ROIS}; k++) {
    if (k >= nRois) { break; }
    if (((outlined >> k) & 1u) == 1u) {
      float f = inside(bits, uint(k));
      colour = mix(colour, vec3(0.05), edge(f, 1.7 * line));
      colour = mix(colour, roiColours[k], edge(f, 1.1 * line));
    }
  }
  if (int(nearest) == picked) { colour = mix(colour, vec3(1.0, 0.0, 0.8), 0.85); }
  pixel = vec4(colour, 1.0);
}`;

function makeSurface(canvas, mesh) {
  const gl = canvas.getContext("webgl2", { antialias: true, alpha: true, preserveDrawingBuffer: true });
  if (!gl) { return null; }
  const program = twgl.createProgramInfo(gl, [VERTEX, FRAGMENT]);
  const picking = twgl.createFramebufferInfo(gl, [{ internalFormat: gl.RGBA8 }, { format: gl.DEPTH_COMPONENT16 }], 8, 8);
  const texture = function (values, format) {
    const width = ROWS, perPlace = { [gl.RGBA32F]: 4, [gl.RGBA32UI]: 4, [gl.RG32UI]: 2, [gl.RGBA8]: 4 }[format];
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
    masks: texture(new Uint32Array(mesh.places.length / 2), gl.RG32UI)
  });
  const nothing = gl.createVertexArray();
  const set = function (name, values, format) {
    const options = texture(values, format);
    twgl.setTextureFromArray(gl, textures[name], options.src, options);
  };
  const render = function (look, isPicking) {
    gl.enable(gl.DEPTH_TEST);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(program.program);
    gl.bindVertexArray(nothing);
    twgl.setUniforms(program, Object.assign({}, look, textures, {
      isPicking: isPicking,
      scale: [look.zoom * Math.min(1, canvas.height / canvas.width), look.zoom * Math.min(1, canvas.width / canvas.height)],
      line: Math.max(1, canvas.width / 500)
    }));
    gl.drawArrays(gl.TRIANGLES, 0, 3 * mesh.nTriangles);
  };
  return {
    paint: function (colours) { set("colours", colours, gl.RGBA8); },
    mask: function (masks) { set("masks", masks, gl.RG32UI); },
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
