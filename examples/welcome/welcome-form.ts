import { html, type Html } from 'npp/app'
import { layout } from './layout.ts'
import { wholeNumber } from './whole-number.ts'

const LONGEST_NAME = 50
const DAYS_A_YEAR = 365.25

/** What a visitor typed, and what is to be said about it. A fault is '' when there is none. */
interface WelcomeForm {
  readonly name: string
  readonly nameFault: string
  readonly age: string
  readonly ageFault: string
  /** True when it was sent and is without fault. */
  readonly valid: boolean
}

export const emptyForm: WelcomeForm = { name: '', nameFault: '', age: '', ageFault: '', valid: false }

/** Reads the fields of a form that was sent. Never trust the browser to have checked anything. */
export function readForm(fields: URLSearchParams): WelcomeForm {
  const name = (fields.get('name') ?? '').trim()
  const age = (fields.get('age') ?? '').trim()
  const nameFault = faultOfName(name)
  const ageFault = faultOfAge(age)
  return { name, nameFault, age, ageFault, valid: nameFault === '' && ageFault === '' }
}

function faultOfName(name: string): string {
  if (name === '') return 'Please tell me your name.'
  return name.length > LONGEST_NAME ? `Please keep it to ${LONGEST_NAME} characters.` : ''
}

function faultOfAge(age: string): string {
  if (age === '') return 'Please tell me your age.'
  return wholeNumber(age, 1, 130) === undefined ? 'Please give your age in whole years, from 1 to 130.' : ''
}

// type="text" even for the age: a number field would throw away what is no number, and the visitor could not see the mistake.
function field(label: string, name: string, value: string, fault: string, mode: 'text' | 'numeric'): Html {
  const attributes = fault === '' ? '' : html`aria-invalid="true" aria-describedby="${name}-fault"`
  return html`<label for="${name}">${label}</label>
    <input id="${name}" name="${name}" type="text" inputmode="${mode}" autocomplete="off" value="${value}" ${attributes} />
    ${fault === '' ? '' : html`<p class="fault" id="${name}-fault">${fault}</p>`}`
}

// As small as it gets: formatting for a locale, say, would load its tables and hold everybody up for 40 ms the first time.
function greeting(name: string, age: string): Html {
  return html`<p class="greeting">
    Welcome, <b>${name}</b>. At ${age} you have lived about ${Math.round(Number(age) * DAYS_A_YEAR)} days.
  </p>`
}

/** The page with the form: empty, with what is wrong, or with a greeting above. */
export function welcomePage(form: WelcomeForm): Html {
  return layout(
    'Who are you?',
    html`<h1>Who are you?</h1>
      ${form.valid && greeting(form.name, form.age)}
      <form method="post" action="/welcome">
        ${field('Name', 'name', form.name, form.nameFault, 'text')} ${field('Age', 'age', form.age, form.ageFault, 'numeric')}
        <button>Greet me</button>
      </form>`,
  )
}
