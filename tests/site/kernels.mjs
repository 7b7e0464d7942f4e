// Answers questions about the kernels of the site's figures: JSON in, JSON out.
// node kernels.mjs FOLDER_OF_KERNELS < questions
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const folder = pathToFileURL(`${process.argv[2]}/`);
const load = (name) => import(new URL(`${name}.js`, folder));
const schedules = await load("schedule");
const { SampleNoise, seedOf } = await load("random");
const { DataOracle } = await load("oracle");
const { chain, qSample } = await load("chain");
const guidance = await load("guidance");
const { readTensors } = await load("tensors");
const { buildMLP, asDenoiser } = await load("mlp");
const { thickness } = await load("curve");
const { Mixture, normal } = await load("mixture");
const flow = await load("flow");
const { buildUNet } = await load("unet");

const plain = (value) =>
  ArrayBuffer.isView(value) ? [...value]
  : Array.isArray(value) ? value.map(plain)
  : value && typeof value === "object"
    ? Object.fromEntries(Object.entries(value).map(([key, v]) => [key, plain(v)]))
  : value;
const made = ({ kind, args }) => schedules[kind](...args);
const file = (path) => {
  const { buffer, byteOffset, byteLength } = readFileSync(path);
  return readTensors(buffer.slice(byteOffset, byteOffset + byteLength));
};
const oracle = (q, schedule) =>
  new DataOracle(schedule, Float64Array.from(q.x0), Float64Array.from(q.spread));

const answers = {
  tables: (q) => made(q.schedule),
  gap: (q) => schedules.priorGap(made(q.schedule), q.moment),
  pairs: (q) => schedules.pairs(q.T, q.steps),
  evenPairs: (q) => schedules.evenPairs(made(q.schedule), q.steps),
  thickness: (q) => thickness(Float64Array.from(q.points), q.scale),
  mixture: (q) => {
    const law = new Mixture(q.law);
    const schedule = made(q.schedule);
    return {
      mean: law.mean(schedule, Float64Array.from(q.x), q.t),
      ends: q.shares.map((p) => law.quantile(p, q.sigma)),
      below: q.x.map(normal),
    };
  },
  flow: (q) => {
    const law = new Mixture(q.law);
    const taus = flow.times(q.steps, q.even);
    const [noise, between] = [Float64Array.from(q.noise), Float64Array.from(q.shares)];
    return {
      taus,
      euler: flow.euler(law, taus, noise),
      ddim: flow.ddim(law, taus, noise),
      exact: [...between].map((p) => flow.exact(law, p, q.tau)),
      deviation: flow.deviation(law, taus),
    };
  },
  start: (q) => schedules.largestT(made(q.schedule)),
  seed: (q) => seedOf(q.numbers),
  noise: (q) => {
    const noise = new SampleNoise(q.seed, q.B, q.size, q.first ?? 0);
    return Array.from({ length: q.count }, () => noise.next());
  },
  moments: (q) => {
    const exact = oracle(q, made(q.schedule));
    const x = Float64Array.from(q.x);
    return {
      mean: exact.mean(x, q.t),
      weights: exact.responsibilities(x, q.t).slice(),
      effective: exact.effective(x, q.t),
    };
  },
  forward: (q) =>
    qSample(made(q.schedule), Float64Array.from(q.x0), q.t, Float64Array.from(q.noise)),
  exactChain: (q) => {
    const schedule = made(q.schedule);
    const exact = oracle(q, schedule);
    const pairs = schedules.pairs(q.start ?? schedule.T, q.steps);
    const noise = new SampleNoise(q.seed, q.B, q.spread.length);
    const denoise = (x, t) => exact.mean(x, t);
    return [...chain({ ...q, schedule, pairs, noise, denoise, start: null })].at(-1);
  },
  guided: (q) =>
    q.sampler === "tilted"
      ? guidance.tilted(q.gamma, q.m, q.s)
      : guidance.sampled(made(q.schedule), q.gamma, q.m, q.s, q.sampler),
  mlp: (q) => {
    const { tensors, about } = file(q.file);
    return buildMLP(tensors, about.settings)(Float64Array.from(q.x), q.t);
  },
  unet: (q) => {
    const { tensors, about } = file(q.file);
    const started = performance.now();
    const noise = buildUNet(tensors, about.settings)(Float64Array.from(q.x), q.t, q.y);
    return { noise, ms: performance.now() - started };
  },
  networkChain: (q) => {
    const { tensors, about } = file(q.file);
    const schedule = schedules.fromBeta([...tensors.beta]);
    const { settings, network } = about;
    const net = (network === "MLP" ? buildMLP : buildUNet)(tensors, settings);
    const denoise = asDenoiser((x, t) => net(x, t, q.y), schedule);
    const noise = new SampleNoise(q.seed, q.B, q.size, q.first ?? 0);
    const pairs = schedules.pairs(schedule.T, q.steps);
    const held = q.held && { ...q.held, noise: new SampleNoise(q.seed, q.B, q.size, 0, [2]) };
    return [...chain({ ...q, schedule, pairs, noise, denoise, held })].at(-1);
  },
};

const questions = JSON.parse(readFileSync(0, "utf8"));
const out = questions.map((q) => plain(answers[q.ask](q)));
process.stdout.write(JSON.stringify(out));
