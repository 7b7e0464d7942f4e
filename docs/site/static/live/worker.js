// Chains that take longer than a screen may wait for. A message is a job; its states come
// back one by one, {run, k, t, x, x0, calls}, and the last with `done`. A new job ends the
// old one.

import { bytes } from "./bytes.js";
import { chain } from "./kernels/chain.js";
import { asDenoiser, buildMLP } from "./kernels/mlp.js";
import { DataOracle } from "./kernels/oracle.js";
import { SampleNoise } from "./kernels/random.js";
import { fromBeta, pairs } from "./kernels/schedule.js";
import { readTensors } from "./kernels/tensors.js";
import { buildUNet } from "./kernels/unet.js";

const FILL = 2; // the purpose that filling a hole has among the streams of noise
const files = new Map();
const load = (file) => {
  if (!files.has(file)) files.set(file, bytes(file).then(readTensors));
  return files.get(file);
};

// The noise of one seed, and from number `fork` on that of another.
function noiseOf({ seed, B, size, fork, other, from = 0 }) {
  const [own, fresh] = [seed, other ?? seed].map((one) => new SampleNoise(one, B, size));
  let number = 0;
  const draw = () => {
    const both = [own.next(), fresh.next()];
    return both[fork !== undefined && number++ > fork ? 1 : 0];
  };
  for (let i = 0; i < from; i++) draw();
  return { next: draw };
}

let latest = 0;
onmessage = async ({ data: job }) => {
  latest = job.run;
  try {
    const { tensors, about } = await load(job.file);
    const schedule = fromBeta([...tensors.beta]);
    let denoise;
    if (job.law) {
      const exact = new DataOracle(schedule, job.law.x0, job.law.variance);
      denoise = (x, t) => exact.mean(x, t);
    } else {
      const build = about.network === "MLP" ? buildMLP : buildUNet;
      const net = build(tensors, about.settings);
      denoise = asDenoiser((x, t) => net(x, t, job.y), schedule);
    }
    const from = job.from ?? 0; // steps that are made already, ending at job.start
    const steps = pairs(schedule.T, job.steps).slice(from);
    const noise = noiseOf(job);
    const held = job.held && { ...job.held, noise: new SampleNoise(job.seed, job.B, job.size, 0, [FILL]) };
    let k = from;
    for (const state of chain({ ...job, schedule, pairs: steps, denoise, noise, held })) {
      await new Promise((go) => setTimeout(go)); // a newer job may have come
      if (latest !== job.run) return;
      postMessage({ ...state, run: job.run, name: job.name, k: k++ });
    }
  } catch (error) {
    postMessage({ run: job.run, error: String(error) });
  }
};
