// Reads a safetensors file: eight bytes of length, a header in JSON, the numbers.

export function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// buffer: an ArrayBuffer. Returns {about, tensors}: each name's Float32Array, or
// Float64Array where the file has float64, with a `shape`.
export function readTensors(buffer) {
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  const tensors = {};
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [from, to] = entry.data_offsets.map((place) => place + 8 + length);
    const bytes = buffer.slice(from, to); // aligned, whatever stands before it
    let values;
    if (entry.dtype === "F64") values = new Float64Array(bytes);
    else if (entry.dtype === "F32") values = new Float32Array(bytes);
    else if (entry.dtype === "F16") values = Float32Array.from(new Uint16Array(bytes), half);
    else throw new Error(`${name} is ${entry.dtype}, which is not read here`);
    values.shape = entry.shape;
    tensors[name] = values;
  }
  return { about: JSON.parse(header.__metadata__.ddpm_lite), tensors };
}
