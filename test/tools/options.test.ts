import { describe, expect, test } from 'vitest'
import { LONGEST_TIMER_MS, systemRuntime } from '../../src/runtime.js'
import {
  aFunction,
  aRuntime,
  aText,
  checkOptions,
  having,
  type Kinds,
  milliseconds,
  oneOf,
  required,
  secret,
  trueOrFalse,
  whole,
} from '../../src/tools/options.js'

interface Options {
  readonly server: { connect(): void; end(): void }
  readonly count?: number
  readonly pauseMs?: number
  readonly isQuick?: boolean
  readonly order?: 'first' | 'last' | 'none'
  readonly name?: string
  readonly password?: string | number
  readonly log?: (line: string) => void
  readonly runtime?: typeof systemRuntime
}

const KINDS: Kinds<Options> = {
  server: required(having('a server', ['connect', 'end'])),
  count: whole(1, 10),
  pauseMs: milliseconds({ value: 5, because: '`count`' }),
  isQuick: trueOrFalse,
  order: oneOf('first', 'last', 'none'),
  name: aText('a name'),
  password: secret(aText('a text')),
  log: aFunction(),
  runtime: aRuntime,
}

const SECRET = 's3cret'
const server = { connect: () => {}, end: () => {} }

const complaintOf = (options: unknown): string | undefined => {
  try {
    checkOptions('make(options)', options as Options, KINDS, '{ server }')
  } catch (error) {
    expect(error).toMatchObject({ code: 'E_CONFIG' })
    return (error as Error).message
  }
  return undefined
}

describe('options that are of their kinds', () => {
  class Pool {
    connect(): void {}
    end(): void {}
  }
  test.each<{ readonly server: unknown; readonly [name: string]: unknown }>([
    { server },
    { server, count: undefined },
    { server: new Pool(), count: 1 },
    { server, count: 10, pauseMs: LONGEST_TIMER_MS, isQuick: false, order: 'last', name: 'ann', log: () => {} },
    { server, runtime: systemRuntime },
  ])('%j are taken', (options) => {
    expect(complaintOf(options)).toBeUndefined()
  })
})

describe('a complaint says what was expected, what came and what to do', () => {
  test.each([
    [undefined, 'Expected `make(options)` to be an object such as `{ server }`, got nothing'],
    [[server], 'Expected `make(options)` to be an object such as `{ server }`, got an array of 1'],
    [
      Promise.resolve({ server }),
      'Expected `make(options)` to be an object such as `{ server }`, got a promise: await it first',
    ],
    [new Map([['server', server]]), 'Expected `make(options)` to be an object such as `{ server }`, got an object'],
    [new URL('http://localhost'), 'Expected `make(options)` to be an object such as `{ server }`, got an object'],
    [{}, 'Expected `server` to be a server, got nothing: it has no default'],
    [{ server: Promise.resolve(server) }, 'Expected `server` to be a server, got a promise: await it first'],
    [{ server: { end: () => {} } }, 'Expected `server` to be a server, got an object: it lacks `connect`'],
    [{ server: {} }, 'Expected `server` to be a server, got an object: it lacks `connect` and `end`'],
    [{ server, count: 0 }, 'Expected `count` to be a whole number from 1 to 10, got 0 (number)'],
    [{ server, count: 1.5 }, 'Expected `count` to be a whole number from 1 to 10, got 1.5 (number)'],
    [
      { server, count: '5' },
      'Expected `count` to be a whole number from 1 to 10, got a string: give it as a number, which `Number(…)` makes of a text',
    ],
    [
      { server, count: null },
      'Expected `count` to be a whole number from 1 to 10, got null: leave it out for the default',
    ],
    [
      { server, pauseMs: 2 ** 31 },
      'Expected `pauseMs` to be a whole number of milliseconds from 5 (`count`) to 2147483647, got 2147483648 (number)',
    ],
    [{ server, isQuick: 'true' }, 'Expected `isQuick` to be true or false, got a string: give it without quotes'],
    [
      { server, order: 'Lats' },
      "Expected `order` to be 'first', 'last' or 'none' (did you mean `last`?), got a string",
    ],
    [{ server, order: 7 }, "Expected `order` to be 'first', 'last' or 'none', got 7 (number)"],
    [{ server, name: '' }, 'Expected `name` to be a name, got an empty string'],
    [{ server, log: console }, 'Expected `log` to be a function, got an object'],
    [
      { server, runtime: { now: () => 0 } },
      'Expected `runtime` to be a Runtime, got an object: it lacks `monotonicMs`, `after`, `randomBytes` and `random`',
    ],
    [
      { server, pasword: SECRET },
      'Expected `pasword` to be left out: there is no such option (did you mean `password`?)',
    ],
    [{ server, ISQUICK: true }, 'Expected `ISQUICK` to be left out: there is no such option (did you mean `isQuick`?)'],
    [{ server, retries: 3 }, 'Expected `retries` to be left out: there is no such option'],
  ])('%j', (options, message) => {
    expect(complaintOf(options)).toBe(message)
  })
})

describe('no complaint shows a secret', () => {
  test.each([
    SECRET,
    [SECRET],
    { server: SECRET },
    { server, password: { [SECRET]: SECRET } },
    new Map([['password', SECRET]]),
    new URL(`postgres://ann:${SECRET}@localhost`),
    { server, count: SECRET },
    { server, order: SECRET },
    { server, isQuick: SECRET },
    { server, pasword: SECRET },
    { server, order: `postgres://ann:${SECRET}@localhost` },
  ])('%j', (options) => {
    expect(complaintOf(options)).toMatch(/^((?!s3cret).)+$/)
  })

  test('not even one that is a number', () => {
    expect(complaintOf({ server, password: 20_261_129 })).toBe('Expected `password` to be a text, got a number')
    expect(complaintOf({ server, pasword: 20_261_129 })).not.toContain('20261129')
    expect(complaintOf({ server, name: 20_261_129 })).toBe('Expected `name` to be a name, got a number')
    expect(complaintOf(20_261_129)).not.toContain('20261129')
  })
})
