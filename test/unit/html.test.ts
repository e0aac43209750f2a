import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Html, escapeHtml, html, type HtmlValue } from '../../shared/html.ts'

const VALUES: readonly (readonly [string, HtmlValue, string])[] = [
  ['text is escaped', `<a href="x" title='y'>&</a>`, '&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;&lt;/a&gt;'],
  ['escapes are escaped too', '&lt;', '&amp;lt;'],
  ['text without marks stays', 'ä 1 \u{1f600}', 'ä 1 \u{1f600}'],
  ['a number', -1.5, '-1.5'],
  ['0 is a number', 0, '0'],
  ['a bigint', 10n, '10'],
  ['undefined leaves nothing', undefined, ''],
  ['null leaves nothing', null, ''],
  ['true leaves nothing', true, ''],
  ['false leaves nothing', false, ''],
  ['html in html is not escaped again', html`<b>${'<'}</b>`, '<b>&lt;</b>'],
  ['an array is joined, each item by its kind', ['<', html`<i></i>`, 1, null, ['>']], '&lt;<i></i>1&gt;'],
  ['an empty array leaves nothing', [], ''],
]

describe('html', () => {
  for (const [rule, value, expected] of VALUES) {
    it(rule, () => {
      assert.equal(html`${value}`.toString(), expected)
      assert.equal(html`<p>${value}|${value}</p>`.toString(), `<p>${expected}|${expected}</p>`)
    })
  }

  it('leaves the literal parts as they are', () => assert.equal(html`<p title="a">&amp;</p>`.toString(), '<p title="a">&amp;</p>'))
  it('joins as text wherever text is wanted', () => assert.equal(String(html`<b>x</b>`), '<b>x</b>'))
  it('takes text for HTML only when it is told to', () => assert.equal(html`${new Html('<b>')}`.toString(), '<b>'))
})

describe('escapeHtml', () => {
  it('leaves nothing that ends a quoted attribute or opens an element', () => {
    const all = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code))
    assert.doesNotMatch(escapeHtml(all), /[<>"']/)
  })
})
