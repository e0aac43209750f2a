// 200 bytes that name the call they belong to, for peers that carry text quicker than bytes.
export function textOf(id) {
  return String(id).padEnd(200, 'x')
}

export function isTextOf(text, id) {
  return text.length === 200 && Number.parseInt(text, 10) === id
}
