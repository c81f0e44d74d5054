// For Jest and for Mocha, which both have `describe` and `it`: the package by `require`.
const { ok } = require('node:assert/strict')
const { specifiers, useExpress, useSessions } = require('./use.cjs')

describe('nonstick, required', () => {
  for (const specifier of specifiers(require('nonstick/package.json')))
    it(`has ${specifier}`, () => {
      ok(Object.keys(require(specifier)).length > 0)
    })

  it('keeps sessions', () => useSessions(require('nonstick'), require('nonstick/memory')))

  it('keeps the sessions of express', () =>
    useExpress(require('nonstick/express'), require('nonstick/memory'), require('express'), require('express-session')))
})
