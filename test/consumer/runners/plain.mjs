// For runtimes without a test runner: the package by `import`, then by `require`.
import { ok } from 'node:assert/strict'
import { createRequire } from 'node:module'
import express from 'express'
import session from 'express-session'
import * as nonstick from 'nonstick'
import * as adapter from 'nonstick/express'
import * as memory from 'nonstick/memory'
import { specifiers, useExpress, useSessions } from './use.cjs'

const require = createRequire(import.meta.url)
for (const specifier of specifiers(require('nonstick/package.json'))) {
  ok(Object.keys(await import(specifier)).length > 0, specifier)
  ok(Object.keys(require(specifier)).length > 0, specifier)
}
await useSessions(nonstick, memory)
await useExpress(adapter, memory, express, session)
await useSessions(require('nonstick'), require('nonstick/memory'))
await useExpress(require('nonstick/express'), require('nonstick/memory'), express, session)
console.log('plain ok')
process.exit(0)
