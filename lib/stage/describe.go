package stage

import "vapo/lib/contract"

func describe[P any](spec *Stage[P]) contract.Description {
	return contract.Description{
		Contract: contract.Contract, Stage: spec.Name, Version: spec.Version, About: spec.About, Length: spec.Length,
		Params: newParams[P]().describe(), Inputs: spec.Inputs, Outputs: spec.Outputs,
	}
}

// describeHere is describe with what "auto" stands for on this machine, which
// may take a while to find out.
func describeHere[P any](spec *Stage[P]) contract.Description {
	s := newParams[P]()
	d := describe(spec)
	d.Params = s.describe()
	for i, p := range d.Params {
		if auto, ok := spec.Auto[p.Name]; ok {
			d.Params[i].Auto = auto(&s.holder.P)
		}
	}
	return d
}
