// The noise of ddpm_lite.seeds.SampleNoise, number for number: numpy's SeedSequence makes
// a seed of whole numbers, torch's Mersenne twister draws, Box and Muller make normals.

const SAMPLE = 2; // the stream that belongs to sampling

export function seedOf(numbers) {
  const pool = new Uint32Array(4);
  let constant = 0x43b0d7e5;
  const hashed = (value) => {
    value = (value ^ constant) >>> 0;
    constant = Math.imul(constant, 0x931e8875) >>> 0;
    value = Math.imul(value, constant) >>> 0;
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mixed = (x, y) => {
    const z = (Math.imul(0xca01f9dd, x) - Math.imul(0x4973f715, y)) >>> 0;
    return (z ^ (z >>> 16)) >>> 0;
  };
  for (let i = 0; i < 4; i++) pool[i] = hashed(numbers[i] ?? 0);
  for (let i = 0; i < 4; i++)
    for (let j = 0; j < 4; j++) if (i !== j) pool[j] = mixed(pool[j], hashed(pool[i]));
  for (const number of numbers.slice(4))
    for (let j = 0; j < 4; j++) pool[j] = mixed(pool[j], hashed(number));
  const last = Math.imul(0x8b51f9dd, 0x58f38ded) >>> 0;
  const low = Math.imul((pool[0] ^ 0x8b51f9dd) >>> 0, last) >>> 0;
  return (low ^ (low >>> 16)) >>> 0; // torch's generator takes 32 of the 64 bits
}

export class MersenneTwister {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let j = 1; j < 624; j++) {
      const before = this.state[j - 1] ^ (this.state[j - 1] >>> 30);
      this.state[j] = Math.imul(1812433253, before) + j;
    }
    this.next = 624;
  }

  draw() {
    const m = this.state;
    if (this.next === 624) {
      for (let k = 0; k < 624; k++) {
        const y = (m[k] & 0x80000000) | (m[(k + 1) % 624] & 0x7fffffff);
        m[k] = m[(k + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = m[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }
}

// As torch.randn(count, dtype=float32) draws them; count is a multiple of 16.
function normals(twister, count) {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) out[i] = (twister.draw() & 0xffffff) / 0x1000000;
  for (let i = 0; i < count; i += 16) {
    for (let j = i; j < i + 8; j++) {
      const radius = Math.sqrt(-2 * Math.log(1 - out[j]));
      const angle = 2 * Math.PI * out[j + 8];
      out[j] = radius * Math.cos(angle);
      out[j + 8] = radius * Math.sin(angle);
    }
  }
  return out;
}

// The noise of B samples of `size` numbers each, a divisor of 64 or a multiple of 16.
// Sample i has the seed (seed, first + i), and a purpose of editing, if there is one, has
// noise of its own. next() gives a Float64Array of B * size.
export class SampleNoise {
  constructor(seed, B, size, first = 0, purpose = []) {
    this.twisters = Array.from(
      { length: B },
      (_, i) => new MersenneTwister(seedOf([SAMPLE, seed, first + i, ...purpose])),
    );
    this.size = size;
    this.block = Math.max(1, Math.floor(64 / size));
    this.place = this.block;
  }

  next() {
    const { size, twisters } = this;
    if (this.place === this.block) {
      this.ready = twisters.map((twister) => normals(twister, size * this.block));
      this.place = 0;
    }
    const out = new Float64Array(twisters.length * size);
    const from = this.place++ * size;
    this.ready.forEach((own, i) => out.set(own.subarray(from, from + size), i * size));
    return out;
  }
}
