/** How the way to an offender is written down: as the code that would fetch it, with long keys cut short. */

const NAME = /^[A-Za-z_$][\w$]*$/
const LONGEST_KEY = 40
const STEPS_SHOWN = 12

/** A key may be a token or an address: enough of it to find the place, not enough to use it. */
const quoted = (key: string): string =>
  JSON.stringify(key.length > LONGEST_KEY ? `${key.slice(0, LONGEST_KEY / 2)}…` : key)

export const keyStep = (key: string): string =>
  key.length <= LONGEST_KEY && NAME.test(key) ? `.${key}` : `[${quoted(key)}]`

export const indexStep = (index: number): string => `[${index}]`

/** Keys that are objects cannot be written; their place in the map's order can. */
export const mapValueStep = (key: unknown, index: number): string => {
  if (typeof key === 'string') return `.get(${quoted(key)})`
  return typeof key === 'object' && key !== null ? `.values()[${index}]` : `.get(${String(key).slice(0, LONGEST_KEY)})`
}

export const mapKeyStep = (index: number): string => `.keys()[${index}]`

export const setStep = (index: number): string => `.values()[${index}]`

/** `data` and the steps from there; the middle of a very long way is left out. */
export const pathOf = (steps: readonly string[]): string =>
  steps.length <= STEPS_SHOWN
    ? `data${steps.join('')}`
    : `data${steps.slice(0, STEPS_SHOWN - 2).join('')}…${steps.slice(-2).join('')}`
