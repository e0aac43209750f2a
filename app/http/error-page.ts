import { html, type Html } from '../../shared/html.ts'
import type { Problem } from './problem.ts'

/** A small page for people. It says what the status says and nothing of what went on inside; the id leads to the log. */
export function errorPage({ status, title, requestId }: Problem): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>${status} ${title}</title>
        <style>
          body {
            font:
              16px/1.5 system-ui,
              sans-serif;
            margin: 15vh auto;
            max-width: 32rem;
            padding: 0 1rem;
            color: #223;
          }
          h1 {
            font-size: 1.5rem;
          }
        </style>
      </head>
      <body>
        <h1>${status} ${title}</h1>
        <p>Request <code>${requestId}</code></p>
      </body>
    </html> `
}
