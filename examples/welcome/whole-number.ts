/** The number that the text writes in decimal digits, or undefined when it writes none, or one outside the bounds. */
export function wholeNumber(text: string | null, from: number, to: number): number | undefined {
  if (text === null || !/^\d{1,15}$/.test(text)) return undefined
  const number = Number(text)
  return number >= from && number <= to ? number : undefined
}
