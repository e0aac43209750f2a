import { defineApp } from 'npp/app'
import type services from './svc.ts'

export default defineApp<typeof services>({
  routes(route) {
    for (const name of ['compute', 'wait', 'computeAgain', 'waitAgain'] as const)
      route.get(`/${name}/:token`, async (req, res) => {
        const ms = Number(req.query.get('ms') ?? 0)
        const timeoutMs = Number(req.query.get('timeoutMs') ?? 20_000)
        const priority = Number(req.query.get('priority') ?? 0)
        res.json(await req.callAsync(name, { token: req.params['token'] ?? '', ms }, { timeoutMs, priority }))
      })
    route.get('/hello', (req, res) => res.text('Hello World!'))
  },
})
