/** Arguments that are numbers or durations. */
import { InvalidArgumentError } from 'commander'
import { asMilliseconds, asNumber } from '../environment/values.js'

const reading =
  (read: (variable: string, text: string) => unknown, expected: string, least: number, most: number) =>
  (text: string): number => {
    let value: number
    try {
      value = Number(read('', text))
    } catch {
      value = Number.NaN
    }
    if (value >= least && value <= most) return value
    throw new InvalidArgumentError(`Expected ${expected}.`)
  }

/** A whole number between two bounds. */
export const wholeNumber = (least: number, most: number): ((text: string) => number) =>
  reading(asNumber, `a whole number from ${least} to ${most}`, least, most)

/** A duration. No flag has its unit in its name, as a variable does, so that it stands in the text: `7` could be days. */
export const milliseconds = (least: number): ((text: string) => number) =>
  reading(
    (variable, text) => asMilliseconds(variable, /^0*[1-9]\d*$/.test(text) ? '' : text),
    'a duration with its unit, such as 90s, 30m, 12h or 7d',
    least,
    Number.MAX_SAFE_INTEGER,
  )
