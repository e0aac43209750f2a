import { html, type Html } from 'npp/app'

const NAMES = ['Ada', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Frances', 'Ken', 'Radia', 'Tony', 'Margaret']

interface Row {
  readonly id: number
  readonly name: string
}

/** As a database would give them: plain text, and one row in ten has characters that mean something in HTML. */
const ROWS: readonly Row[] = Array.from({ length: 100 }, (_, index) => {
  const name = NAMES[index % NAMES.length]
  return { id: index + 1, name: index % 10 === 0 ? `${name} & "Sons" <${index}>` : `${name}, number ${index}` }
})

/** A hundred rows, rendered anew. */
// A space in a template is a space on the wire, in the rows a hundred times over: hence as tight as this, with the formatter kept out.
// oxfmt-ignore
export function tablePage(): Html {
  const rows = ROWS.map(({ id, name }) => html`<tr><td>${id}</td><td>${name}</td><td>${id * id}</td></tr>\n`)
  return html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>100 rows</title><link rel="stylesheet" href="/style.css"></head>
<body>
<header><a class="home" href="/">npp</a></header>
<main>
<h1>100 rows</h1>
<table>
<thead><tr><th>Id</th><th>Name</th><th>Square</th></tr></thead>
<tbody>
${rows}</tbody>
</table>
</main>
</body>
</html>
`
}
