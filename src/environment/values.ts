/** How the text of an environment variable becomes the value of an option. Nothing is guessed: what is unclear is refused. */
import { codeIn, invalidOption } from '../errors.js'
import { fileContents } from '../tools/file-contents.js'

/** Reads a text that is not empty. @throws SessionStoreError `E_CONFIG`, which names the variable and shows none of the text */
export type Reader = (variable: string, text: string) => unknown

export const asText: Reader = (_variable, text) => text

/** Digits alone, so that neither `10k` nor `1e3` nor `0x10` is taken for what it may not mean. */
export const asNumber: Reader = (variable, text) => {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw invalidOption(variable, 'a whole number, in digits', text)
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds, or a number with a unit: `90000`, `90s`, `30m`, `12h`, `7d`. */
export const asMilliseconds: Reader = (variable, text) => {
  const [, digits, unit = 'ms'] = /^(\d{1,15})(ms|s|m|h|d)?$/.exec(text) ?? []
  const ms = Number(digits) * (UNITS_MS[unit] ?? Number.NaN)
  if (Number.isSafeInteger(ms)) return ms
  throw invalidOption(
    variable,
    'a whole number of milliseconds, or one with a unit, such as `90s`, `30m`, `12h` or `7d`',
    text,
  )
}

const YES = new Set(['y', 'yes', 't', 'true', 'on', '1'])
const NO = new Set(['n', 'no', 'f', 'false', 'off', '0'])

export const asBoolean: Reader = (variable, text) => {
  const word = text.toLowerCase()
  if (YES.has(word)) return true
  if (NO.has(word)) return false
  throw invalidOption(variable, 'one of y, yes, t, true, on and 1, or of n, no, f, false, off and 0', text)
}

/** Names with commas between them. */
export const asList: Reader = (_variable, text) => text.split(',').map((item) => item.trim())

/** The path of a file in PEM, which is read now, to complain in time, and again at each new connection. */
export const asPemFile: Reader = (variable, path) => {
  const refused = (because: string): Error =>
    invalidOption(variable, `the path of a file in PEM that can be read (${because})`, path)
  let contents: () => string
  try {
    contents = fileContents(path)
  } catch (cause) {
    throw refused(codeIn(cause) ?? 'it cannot be read')
  }
  if (!contents().includes('-----BEGIN ')) throw refused('there is no PEM in it')
  return contents
}
