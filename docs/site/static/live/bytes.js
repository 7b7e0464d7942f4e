// Bytes that lie at an address, or that a notebook gave.
export async function bytes(given) {
  if (typeof given !== "string") return given.buffer ?? given;
  const answer = await fetch(given);
  if (!answer.ok) throw new Error(`${given}: ${answer.status}`);
  return answer.arrayBuffer();
}
