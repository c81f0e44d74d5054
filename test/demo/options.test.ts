import { expect, test } from 'vitest'
import { parseOptions } from '../../scripts/demo-app/options.mjs'

test('the demo serves the page on a free port unless told otherwise', () => {
  expect(parseOptions([])).toEqual({
    help: false,
    once: false,
    keepOpen: false,
    port: 0,
    maxStaleCount: 10,
    backend: 'postgres',
    sealed: false,
  })
})

test('a value may follow its option or stand behind an equals sign', () => {
  expect(parseOptions(['--once', '--port', '8080', '--max-stale-count=3'])).toMatchObject({
    once: true,
    port: 8080,
    maxStaleCount: 3,
  })
  expect(parseOptions(['--backend', 'couchdb'])).toMatchObject({ backend: 'couchdb' })
  expect(parseOptions(['--backend', 'redis'])).toMatchObject({ backend: 'redis' })
  expect(parseOptions(['--once', '--sealed'])).toMatchObject({ once: true, sealed: true })
  expect(parseOptions(['--backend=postgres'])).toMatchObject({ backend: 'postgres' })
})

test.each([
  [['--twice'], 'Unknown option "--twice"'],
  [['--port'], 'Expected `--port` to be a whole number from 0 to 65535, got nothing'],
  [['--port=65536'], 'Expected `--port` to be a whole number from 0 to 65535, got "65536"'],
  [['--backend'], 'Expected `--backend` to be postgres, couchdb or redis, got nothing'],
  [['--backend=mysql'], 'Expected `--backend` to be postgres, couchdb or redis, got "mysql"'],
  [['--max-stale-count', '0'], 'Expected `--max-stale-count` to be a whole number from 1 to 1000000, got "0"'],
])('a mistake is told as it was typed: %j', (args, complaint) => {
  expect(() => parseOptions(args)).toThrow(complaint)
})
