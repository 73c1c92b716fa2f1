package stage

import "vapo/lib/contract"

func describe[P any](spec *Stage[P]) contract.Description {
	return contract.Description{
		Contract: contract.Contract, Stage: spec.Name, Version: spec.Version, About: spec.About, Length: spec.Length,
		Params: newParams[P]().describe(), Inputs: spec.Inputs, Outputs: spec.Outputs,
	}
}

// describeHere is describe with the meaning of "auto" on this machine, which may take a while to find out.
func describeHere[P any](spec *Stage[P]) contract.Description {
	d := describe(spec)
	if spec.Resolve == nil {
		return d
	}
	s := newParams[P]()
	d.Params = s.describe()
	_ = spec.Resolve(&s.holder.P, Given{params: s.params}) // defaults alone need not make a valid run
	for i, p := range s.params {
		if v := p.value(); d.Params[i].Default == "auto" && v != "auto" {
			d.Params[i].Auto = v
		}
	}
	return d
}
