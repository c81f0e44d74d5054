// For Jest and for Mocha, which both have `describe` and `it`: the package by `import`.
import { ok } from 'node:assert/strict'
import express from 'express'
import session from 'express-session'
import * as nonstick from 'nonstick'
import * as adapter from 'nonstick/express'
import * as memory from 'nonstick/memory'
import manifest from 'nonstick/package.json' with { type: 'json' }
import { specifiers, useExpress, useSessions } from './use.cjs'

describe('nonstick, imported', () => {
  for (const specifier of specifiers(manifest))
    it(`has ${specifier}`, async () => {
      ok(Object.keys(await import(specifier)).length > 0)
    })

  it('keeps sessions', () => useSessions(nonstick, memory))

  it('keeps the sessions of express', () => useExpress(adapter, memory, express, session))
})
