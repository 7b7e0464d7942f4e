// How thick an S of points is, as ddpm_lite.metrics.s_curve_thickness: the root mean square
// distance from the curve in scikit-learn's unit, where the data's noise is 0.1.

const COUNT = 4000;
const CURVE = new Float64Array(2 * COUNT);
for (let i = 0; i < COUNT; i++) {
  const u = ((i + 0.5) / COUNT) * 3 * Math.PI - 1.5 * Math.PI;
  CURVE.set([Math.sin(u), Math.sign(u) * (Math.cos(u) - 1)], 2 * i);
}

// points: a flat array of x and y. scale: what each axis is multiplied by.
export function thickness(points, scale) {
  let sum = 0;
  for (let i = 0; i < points.length; i += 2) {
    const [x, y] = [points[i] * scale[0], points[i + 1] * scale[1]];
    let nearest = Infinity;
    for (let j = 0; j < CURVE.length; j += 2) {
      const square = (x - CURVE[j]) ** 2 + (y - CURVE[j + 1]) ** 2;
      if (square < nearest) nearest = square;
    }
    sum += nearest;
  }
  return Math.sqrt((2 * sum) / points.length);
}
