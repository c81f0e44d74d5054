import framework from 'express4'
import type { Framework } from '../framework.js'
import { express5, startExpress } from './express5.js'

export const express4: Framework = {
  ...express5,
  name: 'express 4',
  packages: ['express4', 'express-session'],
  start: async (routes, options) => await startExpress(framework, routes, options),
}
