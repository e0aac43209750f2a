// Rendered anew for every request, as a site would: a canned string would measure the socket only.

const characters = ['Ada', 'Grace', 'Edsger', 'Barbara', 'Donald', 'Frances', 'Ken', 'Radia', 'Tony', 'Margaret']

const rows = Array.from({ length: 100 }, (_, index) => ({
  id: index + 1,
  // One row in ten has something to escape: every row would make the page a benchmark of String.replace.
  name: index % 10 === 0 ? `${characters[0]} & "Sons" <${index}>` : `${characters[index % 10]}, number ${index}`,
  square: (index + 1) ** 2,
}))

const entities = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

const escape = (text) => text.replace(/[&<>"']/g, (character) => entities[character])

export function renderPage() {
  let table = ''
  for (const { id, name, square } of rows) table += `<tr><td>${id}</td><td>${escape(name)}</td><td>${square}</td></tr>\n`
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>100 rows</title></head>
<body>
<h1>100 rows</h1>
<table>
<thead><tr><th>Id</th><th>Name</th><th>Square</th></tr></thead>
<tbody>
${table}</tbody>
</table>
</body>
</html>
`
}
