/** How the way to an offender is written down: with the names of the data, and by positions alone. */

/** One step of the way from the data to the offender. */
export interface Step {
  /** As in the code that would fetch it, with long keys cut short: `.cart`. For `path`, which no message shows. */
  readonly name: string
  /** `property 2`, counted from 0: for messages, as names of properties and keys of a Map are data. */
  readonly place: string
}

const NAME = /^[A-Za-z_$][\w$]*$/
const LONGEST_KEY = 40
const STEPS_SHOWN = 12

/** A key may be a token or an address: enough of it to find the place, not enough to use it. */
const quoted = (key: string): string =>
  JSON.stringify(key.length > LONGEST_KEY ? `${key.slice(0, LONGEST_KEY / 2)}…` : key)

/** @param index its place among the properties of its object */
export const keyStep = (key: string, index: number): Step => ({
  name: key.length <= LONGEST_KEY && NAME.test(key) ? `.${key}` : `[${quoted(key)}]`,
  place: `property ${index}`,
})

export const indexStep = (index: number): Step => ({ name: `[${index}]`, place: `element ${index}` })

/** Keys that are objects cannot be written; their place in the map's order can. */
export const mapValueStep = (key: unknown, index: number): Step => {
  const place = `value ${index} of a Map`
  if (typeof key === 'string') return { name: `.get(${quoted(key)})`, place }
  const isObject = typeof key === 'object' && key !== null
  return { name: isObject ? `.values()[${index}]` : `.get(${String(key).slice(0, LONGEST_KEY)})`, place }
}

export const mapKeyStep = (index: number): Step => ({ name: `.keys()[${index}]`, place: `key ${index} of a Map` })

export const setStep = (index: number): Step => ({ name: `.values()[${index}]`, place: `member ${index} of a Set` })

/** The middle of a very long way is left out. */
const shortened = (steps: readonly string[], between: string): string =>
  steps.length <= STEPS_SHOWN
    ? steps.join(between)
    : [steps.slice(0, STEPS_SHOWN - 2).join(between), steps.slice(-2).join(between)].join(`${between}…${between}`)

/** `data` and the steps from there, as code: `data.cart[2].price`. */
export const pathOf = (steps: readonly Step[]): string =>
  `data${shortened(
    steps.map(({ name }) => name),
    '',
  )}`

/** The same by positions: `property 0, element 2, property 1`; empty for the data itself. */
export const placeOf = (steps: readonly Step[]): string =>
  shortened(
    steps.map(({ place }) => place),
    ', ',
  )
