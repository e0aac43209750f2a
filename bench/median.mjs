// null, where a figure has no meaning in its scenario, stays null.
export function median(values) {
  if (values.includes(null)) return null
  const sorted = values.toSorted((one, other) => one - other)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
