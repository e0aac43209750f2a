import { html, type Html } from 'npp/app'

// report.ts uses this in npp_svc too: html is the same in 'npp/app' and 'npp/svc'.
/** What all pages have around their content. The content is html`…` already and is not escaped again; the title is text and is. */
export function layout(title: string, content: Html): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title} · npp</title>
        <link rel="icon" href="data:," />
        <link rel="stylesheet" href="/style.css" />
      </head>
      <body>
        <header><a class="home" href="/">npp</a></header>
        <main>${content}</main>
      </body>
    </html>`
}
