/** Text that is HTML already: what the `html` tag makes. Any other value put into a template is escaped. */
export class Html {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  toString(): string {
    return this.#text
  }
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const TO_ESCAPE = /[&<>"']/
const ALL_TO_ESCAPE = /[&<>"']/g

/** The text with the characters replaced that mean something in HTML, in content and in quoted attributes. */
export function escapeHtml(text: string): string {
  return TO_ESCAPE.test(text) ? text.replaceAll(ALL_TO_ESCAPE, (character) => ESCAPES[character] ?? character) : text
}

/** What may stand in a template. undefined, null and booleans leave nothing, arrays are joined. */
export type HtmlValue = string | number | bigint | boolean | null | undefined | Html | readonly HtmlValue[]

function render(value: HtmlValue): string {
  if (typeof value === 'string') return escapeHtml(value)
  if (value instanceof Html) return value.toString()
  if (value === undefined || value === null || typeof value === 'boolean') return ''
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  let text = ''
  for (const item of value) text += render(item)
  return text
}

/** Template tag: the literal parts are HTML, the values are escaped unless they are `html` themselves. */
export function html(parts: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  let text = parts[0] ?? ''
  for (let index = 0; index < values.length; index++) text += render(values[index]) + (parts[index + 1] ?? '')
  return new Html(text)
}
