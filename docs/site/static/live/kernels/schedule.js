// The tables of the forward process, as in ddpm_lite/schedule.py. t runs from 1 to T;
// entry 0 of every table stands for clean data.

export function fromBeta(betas) {
  const T = betas.length;
  const table = () => new Float64Array(T + 1);
  const [beta, alphaBar, oneMinus, logAlphaBar] = [table(), table(), table(), table()];
  const posteriorVariance = table();
  alphaBar[0] = 1;
  for (let t = 1; t <= T; t++) {
    beta[t] = betas[t - 1];
    logAlphaBar[t] = logAlphaBar[t - 1] + Math.log1p(-beta[t]);
    alphaBar[t] = Math.exp(logAlphaBar[t]);
    oneMinus[t] = -Math.expm1(logAlphaBar[t]);
    posteriorVariance[t] = (oneMinus[t - 1] / oneMinus[t]) * beta[t];
  }
  return { T, beta, alphaBar, oneMinus, logAlphaBar, posteriorVariance };
}

export function fromAlphaBar(values) {
  return fromBeta(values.map((value, k) => 1 - value / (k ? values[k - 1] : 1)));
}

const share = (k, T) => (T > 1 ? k / (T - 1) : 0);
const steps = (T, of) => Array.from({ length: T }, (_, k) => of(k));

export function linear(T, start = 1e-4, end = 0.02) {
  return fromBeta(steps(T, (k) => start + (end - start) * share(k, T)));
}

export function sigmoid(T, start = 1e-4, end = 0.02) {
  const rise = (k) => 1 / (1 + Math.exp(6 - 12 * share(k, T)));
  return fromBeta(steps(T, (k) => start + (end - start) * rise(k)));
}

export function cosine(T, s = 0.008, most = 0.999) {
  const angle = (k) => (((k / T + s) / (1 + s)) * Math.PI) / 2;
  const step = Math.PI / 2 / (1 + s) / T;
  const beta = (k) =>
    (Math.sin(step) * Math.sin(angle(k) + angle(k + 1))) / Math.cos(angle(k)) ** 2;
  return fromBeta(steps(T, (k) => Math.min(beta(k), most)));
}

export const snr = (schedule, t) => schedule.alphaBar[t] / schedule.oneMinus[t];

// L_T in nats per dimension, for data with this mean square.
export function priorGap(schedule, secondMoment = 1) {
  const T = schedule.T;
  return 0.5 * (schedule.alphaBar[T] * (secondMoment - 1) - Math.log(schedule.oneMinus[T]));
}

// Of q(x_t | x_s): the variance beta_ts and the factor alpha_ts of x_s, squared.
export function transition(schedule, t, s) {
  const log = schedule.logAlphaBar[t] - schedule.logAlphaBar[s];
  return { beta: t - s === 1 ? schedule.beta[t] : -Math.expm1(log), alpha: Math.exp(log) };
}

// Half the logarithm of the signal-to-noise ratio.
export function lambda(schedule, t) {
  return (schedule.logAlphaBar[t] - Math.log(schedule.oneMinus[t])) / 2;
}

// [[t, s], ...] from T down to 0, in so many steps of even length ("trailing").
export function pairs(T, count = T) {
  const list = [];
  for (let i = count; i > 0; i--) list.push(Math.floor((T * i + Math.floor(count / 2)) / count));
  return list.map((t, k) => [t, k + 1 < count ? list[k + 1] : 0]);
}

// The same in steps that are even in lambda, as far as whole t allow it ("log_snr").
export function evenPairs(schedule, count) {
  const ratio = (t) => -2 * lambda(schedule, t);
  const [first, last] = [ratio(schedule.T), ratio(1)];
  const list = [];
  for (let i = 0; i < count; i++) {
    const wanted = count > 1 ? first + ((last - first) * i) / (count - 1) : first;
    let t = 1;
    while (t < schedule.T && (ratio(t) + ratio(t + 1)) / 2 < wanted) t++;
    list.push(t);
  }
  return list.map((t, k) => [t, k + 1 < count ? list[k + 1] : 0]);
}

// The largest t with sigma_t <= 160, where solvers of higher order start.
export function largestT(schedule) {
  let t = schedule.T;
  while (Math.sqrt(1 / snr(schedule, t)) > 160) t--;
  return t;
}
