/**
 * How every part of this library checks the options that it is given. A table says what each option may be, and all
 * complaints have one form: they name the option as it was typed, and say what was expected, what came and what to do.
 */
import type { Runtime } from '../contract/time.js'
import { areOptions, didYouMean, invalidOption, refuseUnknownOptions } from '../errors.js'
import { LONGEST_TIMER_MS } from '../runtime.js'

/** What one option may be. */
export interface Kind<Value> {
  /** What is expected, in words that follow "Expected `name` to be". */
  readonly expected: string
  readonly accepts: (value: unknown) => value is Value
  /** The texts that are accepted. A complaint about another text names the one that was probably meant. */
  readonly choices?: readonly string[]
  /** What to do about a value that is not accepted, where that does not follow from what is expected. */
  readonly cure?: (value: unknown) => string | undefined
  /** Whether a credential may stand in the value. Then a complaint does not show the value, not even a number. */
  readonly isSecret?: true
}

/** What an option may be that has no default. */
export interface RequiredKind<Value> extends Kind<Value> {
  readonly isRequired: true
}

/** What each option of one part may be. Which of them must be given follows from their types. */
export type Kinds<Options> = {
  readonly [Name in keyof Options]-?: undefined extends Options[Name]
    ? Kind<Exclude<Options[Name], undefined>>
    : RequiredKind<Options[Name]>
}

/** A kind of value that no function below describes. */
export const kindOf = <Value>(
  expected: string,
  accepts: (value: unknown) => boolean,
  cure?: (value: unknown) => string | undefined,
): Kind<Value> => ({
  expected,
  accepts: (value): value is Value => accepts(value),
  ...(cure === undefined ? {} : { cure }),
})

/** The same kind, for an option that has no default. */
export const required = <Value>(kind: Kind<Value>): RequiredKind<Value> => ({ ...kind, isRequired: true })

/** The same kind, for an option in which a credential may stand. */
export const secret = <Value>(kind: Kind<Value>): Kind<Value> => ({ ...kind, isSecret: true })

/** A bound of a number. If the bound comes from another option, `because` names it in a few words. */
export type Bound = number | { readonly value: number; readonly because: string }

/** A whole number between two bounds, which are allowed themselves. */
export const whole = (least: Bound, most: Bound = Number.MAX_SAFE_INTEGER): Kind<number> =>
  wholeNumber('a whole number', least, most)

/** A duration in ms. @default most the longest time that a timer of Node can wait */
export const milliseconds = (least: Bound, most: Bound = LONGEST_TIMER_MS): Kind<number> =>
  wholeNumber('a whole number of milliseconds', least, most)

const wholeNumber = (what: string, least: Bound, most: Bound): Kind<number> => {
  const [from, to] = [numberOf(least), numberOf(most)]
  const range =
    to === Number.MAX_SAFE_INTEGER ? `of at least ${shown(least)}` : `from ${shown(least)} to ${shown(most)}`
  return kindOf(
    `${what} ${range}`,
    (value) => Number.isSafeInteger(value) && Number(value) >= from && Number(value) <= to,
    (value) =>
      typeof value === 'string' && value.trim() !== '' && !Number.isNaN(Number(value))
        ? 'give it as a number, which `Number(…)` makes of a text'
        : undefined,
  )
}

const numberOf = (bound: Bound): number => (typeof bound === 'number' ? bound : bound.value)

const shown = (bound: Bound): string => (typeof bound === 'number' ? `${bound}` : `${bound.value} (${bound.because})`)

export const trueOrFalse: Kind<boolean> = kindOf(
  'true or false',
  (value) => typeof value === 'boolean',
  (value) => (value === 'true' || value === 'false' ? 'give it without quotes' : undefined),
)

/** One of these texts. */
export const oneOf = <Choice extends string>(...choices: readonly Choice[]): Kind<Choice> => ({
  ...kindOf<Choice>(
    inWords(
      choices.map((choice) => `'${choice}'`),
      'or',
    ),
    (value) => choices.some((choice) => choice === value),
  ),
  choices,
})

/** A function. What it takes and returns cannot be seen before it is called. */
export const aFunction = <Callable>(): Kind<Callable> => kindOf('a function', (value) => typeof value === 'function')

/** A text that is not empty. A password of digits may have come in its place, so that a complaint shows no number. */
export const aText = (expected: string): Kind<string> =>
  secret(kindOf(expected, (value) => typeof value === 'string' && value !== ''))

/** An object that has these functions, either its own or those of its class. What is given in its place may be a credential. */
export const having = <Value>(expected: string, functions: readonly string[]): Kind<Value> => {
  const lacking = (value: object): readonly string[] =>
    functions.filter((name) => typeof Reflect.get(value, name) !== 'function')
  const kind = kindOf<Value>(
    expected,
    (value) => typeof value === 'object' && value !== null && lacking(value).length === 0,
    (value) =>
      typeof value === 'object' && value !== null && !(value instanceof Promise) && !Array.isArray(value)
        ? `it lacks ${inWords(
            lacking(value).map((name) => `\`${name}\``),
            'and',
          )}`
        : undefined,
  )
  return secret(kind)
}

/** A signal of any realm, or of a library that makes its own. */
export const anAbortSignal: Kind<AbortSignal> = kindOf(
  'an AbortSignal',
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    typeof Reflect.get(value, 'aborted') === 'boolean' &&
    ['addEventListener', 'removeEventListener'].every((name) => typeof Reflect.get(value, name) === 'function'),
  (value) =>
    typeof value === 'object' && value !== null && anAbortSignal.accepts(Reflect.get(value, 'signal'))
      ? 'give the `signal` of the controller'
      : undefined,
)

export const aRuntime: Kind<Runtime> = having('a Runtime', ['now', 'monotonicMs', 'after', 'randomBytes', 'random'])

/**
 * Refuses options that are no object, options that this part does not have, and values that are not of the kind of
 * their option. An option that is `undefined` counts as left out.
 *
 * @param call what the options were given to, for the complaint: `memcached(options)`
 * @param example what they look like: `{ servers }`
 * @param within what stands before their names, where they are the options of an option: `tls.`
 * @throws SessionStoreError `E_CONFIG` about the first mistake
 */
export const checkOptions = <Options extends object>(
  call: string,
  options: Options,
  kinds: Kinds<Options>,
  example?: string,
  within = '',
): void => {
  if (!areOptions(options)) {
    const expected = example === undefined ? 'an object' : `an object such as \`${example}\``
    const cure = usualCure(options, false)
    throw invalidOption(call, expected, options, { secret: true, ...(cure === undefined ? {} : { cure }) })
  }
  refuseUnknownOptions(options, new Set(Object.keys(kinds)), within)
  for (const name of Object.keys(kinds) as (keyof Options & string)[]) {
    const kind = kinds[name] as Kind<unknown>
    if (options[name] !== undefined || 'isRequired' in kind) checkedOption(`${within}${name}`, options[name], kind)
  }
}

/**
 * Gives the value of one option, if it is of the right kind.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const checkedOption = <Value>(name: string, value: unknown, kind: Kind<Value>): Value => {
  if (kind.accepts(value)) return value
  const cure = kind.cure?.(value) ?? usualCure(value, 'isRequired' in kind)
  const hint = typeof value === 'string' ? didYouMean(value, kind.choices ?? []) : ''
  throw invalidOption(name, `${kind.expected}${hint}`, value, {
    secret: kind.isSecret === true,
    ...(cure === undefined ? {} : { cure }),
  })
}

const usualCure = (value: unknown, isRequired: boolean): string | undefined => {
  if (value === undefined && isRequired) return 'it has no default'
  if (value === null && !isRequired) return 'leave it out for the default'
  return value instanceof Promise ? 'await it first' : undefined
}

const inWords = (items: readonly string[], last: 'and' | 'or'): string =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} ${last} ${items.at(-1) ?? ''}`
